use super::*;
use crate::Shared;
use crate::session::SessionApi;
use arsenal_proto::v1;
use arsenal_proto::v1::session_service_server::SessionService as _;
use arsenal_runtime::NodeConfig;

fn asking<T>(message: T, principal: Option<&str>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(principal) = principal {
        request.extensions_mut().insert(Principal::new(principal));
    }
    request
}

/// A session that this principal has opened.
async fn opened(api: &SessionApi, principal: Option<&str>) -> String {
    let created = api.create_session(asking(v1::CreateSessionRequest::default(), principal)).await;
    created.unwrap().into_inner().session
}

/// What comes of each use of a session.
async fn used(node: &Node, api: &SessionApi, session: &str, principal: Option<&str>) -> Vec<Code> {
    let pid = session_process(node, session).unwrap().to_string();
    let session = || session.to_owned();
    let code = |outcome: Result<(), Status>| outcome.err().map_or(Code::Ok, |status| status.code());
    let renew = v1::RenewSessionRequest { session: session(), lease: None };
    let receive = v1::ReceiveMessagesRequest { session: session(), ..Default::default() };
    let watch = v1::WatchSessionMessagesRequest { session: session(), ..Default::default() };
    let reply = v1::ReplyMessageRequest { session: session(), ..Default::default() };
    let close = v1::CloseSessionRequest { session: session(), ..Default::default() };
    vec![
        code(own_session(node, &session(), principal.map(Principal::new).as_ref()).map(drop)),
        code(Caller::of(&asking((), principal)).acting(node, "from", &pid).map(drop)),
        code(api.renew_session(asking(renew, principal)).await.map(drop)),
        code(api.receive_messages(asking(receive, principal)).await.map(drop)),
        code(api.watch_session_messages(asking(watch, principal)).await.map(drop)),
        code(api.reply_message(asking(reply, principal)).await.map(drop)),
        code(api.close_session(asking(close, principal)).await.map(drop)),
    ]
}

#[tokio::test]
async fn a_session_is_used_by_nobody_but_the_principal_who_opened_it() {
    let node = Node::start(NodeConfig { schedulers: 1, ..NodeConfig::default() }).unwrap();
    let api = SessionApi::new(Shared::alone(node.clone(), "127.0.0.1:7450"));
    let of_alice = opened(&api, Some("alice")).await;
    for other in [None, Some("bob")] {
        assert_eq!(used(&node, &api, &of_alice, other).await, [Code::PermissionDenied; 7]);
    }
    // it is no call's reference, which says that it was looked for
    let used_well = [Code::Ok, Code::Ok, Code::Ok, Code::Ok, Code::Ok, Code::NotFound, Code::Ok];
    assert_eq!(used(&node, &api, &of_alice, Some("alice")).await, used_well);
    let of_nobody = opened(&api, None).await;
    assert_eq!(used(&node, &api, &of_nobody, Some("bob")).await, used_well);
}
