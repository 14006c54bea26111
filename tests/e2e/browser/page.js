// What the checks call in a page of the node's own origin. Everything ends by itself: a wait has a deadline.
// One name only, as the page has scripts of its own.
'use strict';
globalThis.e2e = (() => {

const WAIT_MS = 20000;

const within = (promise, what) => Promise.race([
  promise,
  new Promise((_, reject) => setTimeout(() => reject(new Error(what + ' did not come about')), WAIT_MS)),
]);

// The document as soon as the selector finds something in it.
const element = selector => within(new Promise(resolve => {
  const look = () => {
    const found = document.querySelector(selector);
    if (found) resolve(found);
    return found;
  };
  if (look()) return;
  const observer = new MutationObserver(() => { if (look()) observer.disconnect(); });
  observer.observe(document, { subtree: true, childList: true });
}), selector);

const post = async (path, body) => {
  const answer = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
  return { status: answer.status, body: await answer.json() };
};

// grpc-web by hand: a WhereisProcessRequest, whose field 2 is a name, framed; and the frames of the answer taken apart.
const textField = (number, text) => {
  const bytes = new TextEncoder().encode(text);
  return new Uint8Array([number << 3 | 2, bytes.length, ...bytes]);
};
const framed = message => new Uint8Array([0, 0, 0, message.length >> 8, message.length & 255, ...message]);
const base64 = bytes => btoa(String.fromCharCode(...bytes));

const frames = bytes => {
  const found = [];
  for (let at = 0; at + 5 <= bytes.length;) {
    const length = new DataView(bytes.buffer, bytes.byteOffset + at + 1, 4).getUint32(0);
    found.push({ trailers: (bytes[at] & 128) !== 0, text: new TextDecoder().decode(bytes.subarray(at + 5, at + 5 + length)) });
    at += 5 + length;
  }
  return found;
};

// Bodies in base64 may be several texts one after the other, each padded.
const decoded = text => new Uint8Array(text.match(/[^=]+=*/g).flatMap(part => [...atob(part)].map(char => char.charCodeAt(0))));

const grpcWeb = async (method, name, inText) => {
  const frame = framed(textField(2, name));
  const answer = await fetch(method, {
    method: 'POST',
    headers: { 'content-type': inText ? 'application/grpc-web-text' : 'application/grpc-web+proto', 'x-grpc-web': '1' },
    body: inText ? base64(frame) : frame,
  });
  const body = inText ? decoded(await answer.text()) : new Uint8Array(await answer.arrayBuffer());
  const parts = frames(body);
  return {
    http: answer.status,
    type: answer.headers.get('content-type'),
    message: parts.filter(part => !part.trailers).map(part => part.text).join(''),
    trailers: parts.filter(part => part.trailers).map(part => part.text).join('') || 'grpc-status: ' + answer.headers.get('grpc-status'),
  };
};

// An EventSource whose items are kept, and waited for.
let source;
let items = [];
const follow = path => {
  source = new EventSource(path);
  source.onmessage = event => items.push({ id: event.lastEventId, ...JSON.parse(event.data) });
  return within(new Promise(resolve => { source.onopen = resolve; }), 'the stream').then(() => true);
};
const item = (kind, name) => within(new Promise(resolve => {
  const found = () => items.find(each => each.kind === kind && (each.process || {}).registeredName === name);
  const look = () => { if (found()) { source.removeEventListener('message', look); resolve(true); } };
  source.addEventListener('message', look);
  look();
}), kind + ' of ' + name);
const reconnecting = () => within(new Promise(resolve => {
  if (source.readyState === EventSource.CONNECTING) resolve(true);
  source.addEventListener('error', () => resolve(source.readyState === EventSource.CONNECTING), { once: true });
}), 'the loss');
const told = () => items.map(each => [each.kind, (each.process || {}).registeredName || '', each.id]);
const unfollow = () => { source.close(); items = []; };

// A WebSocket whose frames are taken one after the other.
let socket;
let frameQueue = [];
let frameWaiter;
const connect = (url, protocol) => within(new Promise(resolve => {
  socket = new WebSocket(url, protocol);
  frameQueue = [];
  const push = entry => { frameQueue.push(entry); if (frameWaiter) frameWaiter(); };
  socket.onmessage = event => push(JSON.parse(event.data));
  socket.onclose = event => { push({ close: event.code }); resolve({ open: false, code: event.code }); };
  socket.onopen = () => resolve({ open: true, protocol: socket.protocol });
}), 'the handshake');
const send = frame => { socket.send(JSON.stringify(frame)); };
const frame = () => within((async () => {
  while (!frameQueue.length) await new Promise(resolve => { frameWaiter = resolve; });
  return frameQueue.shift();
})(), 'a frame');

return { element, post, grpcWeb, follow, item, reconnecting, told, unfollow, connect, send, frame };
})();
