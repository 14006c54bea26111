%% counter: a gen_server with a number, which does on request whatever a server can do. What it does not know it logs.
-module(oracle_counter).
-behaviour(gen_server).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, handle_continue/2, terminate/2, state/1, replace/2]).

-record(counter, {n, args}).

init({Id, Args}) ->
    case oracle_start:begin_init(Id, Args) of
        ok ->
            oracle_world:started(Id, self()),
            Counter = #counter{n = maps:get(<<"initial">>, Args, 0), args = Args},
            case Args of
                #{<<"continue">> := Continuation} -> {ok, Counter, {continue, oracle_terms:in(Continuation)}};
                #{<<"timeout">> := Timeout} -> {ok, Counter, Timeout};
                _ -> {ok, Counter}
            end;
        Other -> Other
    end.

%% The number alone is the state that sys:get_state and sys:replace_state are about.
state(#counter{n = N}) -> N;
state(Other) -> Other.

replace(#counter{} = Counter, N) -> Counter#counter{n = N};
replace(_, State) -> State.

handle_call(get, _From, Counter) -> {reply, Counter#counter.n, Counter};
handle_call({echo, Term}, _From, Counter) -> {reply, Term, Counter};
handle_call(noreply, _From, Counter) -> {noreply, Counter};
handle_call({reply_later, Ms, Reply}, From, Counter) ->
    erlang:send_after(Ms, self(), {'$due', From, Reply}),
    {noreply, Counter};
handle_call({reply_then_sleep, Ms, Reply}, From, Counter) ->
    gen_server:reply(From, Reply),
    timer:sleep(Ms),
    {noreply, Counter};
handle_call({stop_reply, Reason, Reply}, _From, Counter) -> {stop, Reason, Reply, Counter};
handle_call({call, Pid, Message, Ms}, _From, Counter) ->
    Reply = try gen_server:call(Pid, Message, Ms) catch exit:Reason -> {'EXIT', Reason} end,
    {reply, Reply, Counter};
handle_call(Message, _From, Counter) -> obey(Message, fun(R) -> [reply, R] end, Counter).

handle_cast({stop_reply, Reason, _}, Counter) -> {stop, Reason, Counter};
handle_cast(Message, Counter) -> obey(Message, fun(_) -> [noreply] end, Counter).

%% What a call and a cast have in common; Answer makes the begin of what the callback returns.
obey(incr, Answer, Counter) -> add(1, Answer, Counter);
obey({add, K}, Answer, Counter) -> add(K, Answer, Counter);
obey({sleep, Ms}, Answer, Counter) -> timer:sleep(Ms), return(Answer(ok), [Counter]);
obey({stop, Reason}, _, Counter) -> {stop, Reason, Counter};
obey(crash, _, _) -> error(crash);
obey({crash, Reason}, _, _) -> error(Reason);
obey({exit, Reason}, _, _) -> exit(Reason);
obey({throw, Value}, _, _) -> throw(Value);
obey(bad_return, _, _) -> foo;
obey({continue, Continuation}, Answer, Counter) -> return(Answer(ok), [Counter, {continue, Continuation}]);
obey({timeout, Ms}, Answer, Counter) -> return(Answer(ok), [Counter, Ms]);
obey(hibernate, Answer, Counter) -> return(Answer(ok), [Counter, hibernate]);
obey(Message, Answer, Counter) ->
    oracle_world:log({unknown, Message}),
    return(Answer(ok), [Counter]).

add(K, Answer, #counter{n = N} = Counter) -> return(Answer(N + K), [Counter#counter{n = N + K}]).

return(Begin, End) -> list_to_tuple(Begin ++ End).

handle_info({'$act', {raise, return, _}}, Counter) -> {stop, normal, Counter};
handle_info({'$act', Act}, Counter) -> oracle_act:perform(Act), {noreply, Counter};
handle_info({'$due', From, Reply}, Counter) -> gen_server:reply(From, Reply), {noreply, Counter};
handle_info(Message, Counter) -> oracle_world:log(Message), {noreply, Counter}.

handle_continue(Continuation, Counter) ->
    oracle_world:log({continue, Continuation}),
    case Continuation of
        {crash, Reason} -> error(Reason);
        {stop, Reason} -> {stop, Reason, Counter};
        {add, K} -> add(K, fun(_) -> [noreply] end, Counter);
        _ -> {noreply, Counter}
    end.

terminate(Reason, #counter{args = Args}) -> oracle_start:terminate(Reason, Args).
