//! OTP's behaviours on the runtime's processes, and the native modules that ship with a node.
//!
//! - [`gen_server`], [`gen_statem`], [`gen_event`]: traits that native code implements, and the modules made of them.
//! - [`supervisor`]: all strategies, and what goes beyond OTP: pause, conversion, dry run.
//! - [`module`]: what the modules of `gen_server` and `gen_statem` have in common.
//! - [`functions`]: raw processes and exported functions from closures.
//! - [`modules`]: echo, counter, kv and the others that every node knows.
//! - [`family`]: the end of a process and all that hangs on it.
//! - [`pause`] and [`raise`]: how a callback of any behaviour waits in the middle, and how it fails.
//!
//! Invariants: a rule of OTP that needs no process to be stated is a pure core with its own tests; the process around
//! it only carries messages in and effects out. Nothing here knows gRPC, storage or other nodes.
//!
//! A server in full:
//!
//! ```
//! use arsenal_behaviours::gen_server::{GenServer, GenServerModule, Init, Next, Outcome, Termination};
//! use arsenal_behaviours::pause::Pause;
//! use arsenal_runtime::context::Context;
//! use arsenal_runtime::message::{Message, ReplyTo};
//! use arsenal_runtime::term::{Reason, Term};
//! use std::time::Duration;
//!
//! /// Remembers a balance; forgets to be awake after ten seconds without a request.
//! struct Account {
//!     balance: i64,
//! }
//!
//! impl Account {
//!     fn init(args: &Term, _cx: &mut Context<'_>) -> Init<Self> {
//!         match args.get("balance").and_then(Term::as_int) {
//!             Some(balance) if balance < 0 => Init::Stop("overdrawn".into()),
//!             balance => Init::ok(Self { balance: balance.unwrap_or(0) }),
//!         }
//!     }
//! }
//!
//! impl GenServer for Account {
//!     fn handle_call(&mut self, request: &Term, _from: ReplyTo, _cx: &mut Context<'_>) -> Outcome<Self> {
//!         let amount = request.as_list().and_then(|terms| terms.get(1)?.as_int()).unwrap_or(0);
//!         match request.tag() {
//!             Some("balance") => Outcome::reply(self.balance),
//!             Some("deposit") => {
//!                 self.balance += amount;
//!                 Outcome::reply(self.balance).then(Next::Timeout(Duration::from_secs(10)))
//!             }
//!             Some("withdraw") if amount > self.balance => Outcome::Crash("overdrawn".into()),
//!             // The bank takes its time; other requests wait, other processes do not.
//!             Some("withdraw") => Pause::sleep(Duration::from_millis(5), move |account: &mut Self, _cx| {
//!                 account.balance -= amount;
//!                 Outcome::reply(account.balance)
//!             })
//!             .into(),
//!             Some("close") => Outcome::StopReply(Term::NORMAL, self.balance.into()),
//!             _ => Outcome::reply("unknown_request"),
//!         }
//!     }
//!
//!     fn handle_info(&mut self, message: &Message, _cx: &mut Context<'_>) -> Outcome<Self> {
//!         let next = if message.payload.is("timeout") { Next::Hibernate } else { Next::Receive };
//!         Outcome::no_reply().then(next)
//!     }
//!
//!     fn terminate(&mut self, reason: &Reason, cx: &mut Context<'_>) -> Termination<Self> {
//!         if let Some(parent) = cx.parent().filter(|_| !reason.is_orderly()) {
//!             cx.send(parent, Term::tagged("lost", self.balance.into()));
//!         }
//!         Termination::Done
//!     }
//!
//!     fn inspect(&self) -> Option<Term> {
//!         Some(self.balance.into())
//!     }
//! }
//!
//! let module = GenServerModule::new("account", Account::init).inspectable();
//!
//! // A node of our own that knows it; a program that serves hands it to `arsenal_server::assembly::serve` instead.
//! use arsenal_runtime::start::{StartOptions, Started};
//! use arsenal_runtime::{Node, NodeConfig};
//! use std::sync::Arc;
//! // A node that knows it. One that serves clients gets it by `arsenal_server::assembly::serve(&config, vec![module])`.
//! let node = Node::start(NodeConfig { modules: vec![Arc::new(module)], ..NodeConfig::default() }).unwrap();
//! # let run = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # run.block_on(async {
//! // Waits until init has ended; the last argument is for how long at most, `None` for ever.
//! let args = Term::map([("balance", Term::Int(5))]);
//! let started = node.start_process("account", &args, StartOptions::default(), None).await.unwrap();
//! let Started::Running(account) = started else { panic!("init answered `ignore`") };
//! // Whom, what, for how long, and the number of the operation that the call is part of: 0 for none.
//! let deposit = Term::from([Term::Atom("deposit"), Term::Int(3)]);
//! let balance = node.call(account, deposit, Some(Duration::from_secs(5)), 0).await.unwrap();
//! assert_eq!(balance, Term::Int(8));
//! # });
//! node.close();
//! ```

pub mod family;
pub mod functions;
pub mod gen_event;
pub mod gen_server;
pub mod gen_statem;
mod in_hand;
pub mod module;
pub mod modules;
pub mod pause;
pub mod raise;
mod start;
pub mod supervisor;
mod system;
mod termination;
