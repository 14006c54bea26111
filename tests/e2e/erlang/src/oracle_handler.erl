%% A handler of an event manager. It logs under the manager's id and its own what it is given.
-module(oracle_handler).
-behaviour(gen_event).
-export([init/1, handle_event/2, handle_call/2, handle_info/2, terminate/2]).

-record(handler, {manager, id, count = 0}).

%% A handler that takes the place of another is given what that one's terminate returned.
init({#{manager := _} = Args, Term}) ->
    started(Args, fun(Handler) -> log({swapped_in, Term}, Handler) end);
init(Args) ->
    started(Args, fun(_) -> ok end).

started(#{manager := Manager, id := Id, init := Outcome}, Then) ->
    case Outcome of
        <<"ok">> ->
            Handler = #handler{manager = Manager, id = Id},
            Then(Handler),
            {ok, Handler};
        #{<<"error">> := Reason} -> {error, oracle_terms:in(Reason)};
        #{<<"crash">> := Reason} -> error(oracle_terms:in(Reason))
    end.

handle_event(Event, #handler{id = Id} = Handler) ->
    log({event, Event}, Handler),
    case Event of
        {Id, crash} -> error(crash);
        {Id, remove} -> remove_handler;
        {Id, bad_return} -> foo;
        {Id, exit, Reason} -> exit(Reason);
        {Id, sleep, Ms} -> timer:sleep(Ms), {ok, Handler};
        {Id, swap, Other} ->
            Args = #{manager => Handler#handler.manager, id => Other, init => <<"ok">>},
            {swap_handler, swapped, Handler, {?MODULE, Other}, Args};
        _ -> {ok, Handler#handler{count = Handler#handler.count + 1}}
    end.

handle_call(count, Handler) -> {ok, Handler#handler.count, Handler};
handle_call(crash, _) -> error(crash);
handle_call(remove, _) -> {remove_handler, removed};
handle_call(bad_return, _) -> foo;
handle_call({sleep, Ms}, Handler) -> timer:sleep(Ms), {ok, ok, Handler};
handle_call(Message, Handler) -> {ok, Message, Handler}.

handle_info(Message, Handler) ->
    log({info, Message}, Handler),
    {ok, Handler}.

terminate(Argument, Handler) ->
    log({terminate, Argument}, Handler),
    {terminated, Handler#handler.count}.

log(Entry, #handler{manager = Manager, id = Id}) ->
    oracle_world:log(<<Manager/binary, "/", (atom_to_binary(Id))/binary>>, Entry).
