%% Runs scenarios one after the other, each from an empty system, and writes what came of each: a line of JSON a
%% scenario (README of the scenarios, section 4).
%%
%%     erl -noshell -pa EBIN -run oracle_record main OUTPUT SCENARIO.json...
-module(oracle_record).
-export([main/1]).

main([Output | Files]) ->
    logger:set_primary_config(level, none),
    {ok, Device} = file:open(Output, [write, raw]),
    [ok = file:write(Device, [oracle_json:encode(record(File)), $\n]) || File <- Files],
    ok = file:close(Device),
    halt(0).

record(File) ->
    {ok, Text} = file:read_file(File),
    Scenario = oracle_json:decode(Text),
    Before = processes(),
    ok = oracle_world:start(),
    {ok, _} = pg:start(pg),
    Driver = spawn(fun driver/0),
    persistent_term:put(oracle_driver, Driver),
    Steps = steps(0, maps:get(<<"steps">>, Scenario), Scenario),
    Outcome = maps:merge(maps:with([<<"name">>, <<"topic">>], Scenario), #{<<"steps">> => Steps, <<"final">> => final()}),
    oracle_world:stop(),
    clean(Before),
    Outcome.

%% Traps exits, ignores all messages, never dies.
driver() ->
    process_flag(trap_exit, true),
    drive().

drive() ->
    receive
        {'$act', Act} -> oracle_act:perform(Act);
        _ -> ok
    end,
    drive().

steps(_, [], _) -> [];
steps(At, [#{<<"op">> := Op} = Step | Rest], Scenario) ->
    Result = step(Step),
    timer:sleep(maps:get(<<"settle">>, Step, maps:get(<<"settle_ms">>, Scenario, 15))),
    [#{<<"i">> => At, <<"op">> => Op, <<"r">> => Result} | steps(At + 1, Rest, Scenario)].

step(#{<<"op">> := <<"await">>, <<"async">> := Name}) ->
    case erase({async, Name}) of
        undefined -> no_response;
        Monitor ->
            receive {'DOWN', Monitor, process, _, {result, Result}} -> Result
            after 12000 -> no_response end
    end;
step(#{<<"async">> := Name} = Step) ->
    {_, Monitor} = spawn_monitor(fun() -> exit({result, timed(Step)}) end),
    put({async, Name}, Monitor),
    #{<<"ok">> => <<"ok">>};
step(Step) ->
    timed(Step).

timed(Step) ->
    Begin = erlang:monotonic_time(millisecond),
    Result = result(perform(Step), Step),
    Elapsed = erlang:monotonic_time(millisecond) - Begin,
    case Step of
        #{<<"expect_ms">> := [Low, High]} when is_map(Result) ->
            Result#{<<"elapsed_in_range">> => Elapsed >= Low andalso Elapsed =< High};
        _ -> Result
    end.

result({ok, {json, Value}}, _) -> #{<<"ok">> => Value};
result({ok, N}, #{<<"range">> := [Low, High]}) when is_integer(N) ->
    #{<<"ok">> => #{<<"in_range">> => N >= Low andalso N =< High}};
result({ok, Value}, _) -> #{<<"ok">> => oracle_terms:out(Value)};
result({exception, Class, Reason}, _) ->
    #{<<"exception">> => #{<<"class">> => Class, <<"reason">> => oracle_terms:out(Reason)}};
result({actor_died, Reason}, _) -> #{<<"actor_died">> => oracle_terms:out(Reason)};
result(no_response, _) -> no_response;
result(unsupported, _) -> #{<<"unsupported">> => true}.

perform(#{<<"op">> := <<"raise">>, <<"id">> := Id, <<"class">> := Class} = Step) ->
    Reason = oracle_terms:in(maps:get(<<"reason">>, Step, <<"normal">>)),
    oracle_act:tell(oracle_world:pid(Id), {raise, binary_to_atom(Class), Reason}),
    {ok, ok};
perform(#{<<"op">> := <<"hibernate">>, <<"id">> := Id}) ->
    Pid = oracle_world:pid(Id),
    case process_info(Pid, dictionary) of
        {dictionary, [_ | _] = Dictionary} ->
            case proplists:get_value('$initial_call', Dictionary) of
                {oracle_raw, _, _} -> oracle_act:tell(Pid, hibernate);
                _ -> gen_server:cast(Pid, hibernate)
            end,
            {ok, ok};
        _ -> {actor_died, noproc}
    end;
perform(Step) ->
    case {actor(Step), oracle_steps:operation(Step)} of
        {_, unsupported} -> unsupported;
        {none, {driver, Function}} -> oracle_act:ask(persistent_term:get(oracle_driver), Function, false);
        {none, {client, Function}} -> by_client(Function);
        {Pid, {_, Function}} -> oracle_act:ask(Pid, Function, maps:get(<<"uncaught">>, Step, false))
    end.

%% The process that performs a step, if it is named.
actor(#{<<"from">> := Id}) -> oracle_world:pid(Id);
actor(#{<<"as">> := Id}) -> oracle_world:pid(Id);
actor(#{<<"parent">> := Id}) -> oracle_world:pid(Id);
actor(#{<<"op">> := Op, <<"id">> := Id}) when Op =:= <<"trap_exit">>; Op =:= <<"priority">>; Op =:= <<"receive">> ->
    oracle_world:pid(Id);
actor(_) -> none.

%% A fresh process that only asks.
by_client(Function) ->
    {Pid, Monitor} = spawn_monitor(fun() ->
        exit(try {result, {ok, Function()}} catch Class:Reason -> {result, {exception, Class, Reason}} end)
    end),
    receive {'DOWN', Monitor, process, Pid, {result, Result}} -> Result
    after 12000 -> exit(Pid, kill), no_response end.

final() ->
    Processes = maps:from_list([{Id, life(Attempts, Pids)} || {Id, Attempts, Pids} <- oracle_world:lives()]),
    Logs = logs(),
    Lifecycle = [event(Event) || Event <- oracle_world:lifecycle()],
    Supervisors = maps:from_list([{Id, Children} || Id <- oracle_world:supervisors(), Children <- children(Id)]),
    #{<<"processes">> => Processes, <<"logs">> => Logs, <<"supervisors">> => Supervisors, <<"lifecycle">> => Lifecycle}.

life(Attempts, Pids) ->
    Exits = [oracle_terms:out(Reason) || Pid <- Pids, Reason <- oracle_world:exits(Pid)],
    Alive = Pids =/= [] andalso oracle_world:exits(lists:last(Pids)) =:= [],
    #{<<"alive">> => Alive, <<"attempts">> => Attempts, <<"incarnation">> => length(Pids), <<"exits">> => Exits}.

logs() ->
    Add = fun({Key, Entry}, Logs) -> maps:update_with(Key, fun(Log) -> Log ++ [Entry] end, [Entry], Logs) end,
    lists:foldl(Add, #{}, [{Key, oracle_terms:out(Entry)} || {Key, Entry} <- oracle_world:logs()]).

children(Id) ->
    Sup = oracle_world:pid(Id),
    try
        [#{<<"which_children">> => oracle_info:which_children(Sup, 2000),
           <<"count_children">> => oracle_info:count_children(Sup, 2000)}]
    catch exit:_ -> []
    end.

event({start, Pid}) -> [start, oracle_world:key(Pid)];
event({terminate, Pid, Reason}) -> [terminate, oracle_world:key(Pid), oracle_terms:out(Reason)];
event({exit, Pid, Reason}) -> [exit, oracle_world:key(Pid), oracle_terms:out(Reason)].

%% Until nothing is left of what the scenario has started.
clean(Before) ->
    case processes() -- Before of
        [] -> ok;
        Left ->
            [exit(Pid, kill) || Pid <- Left],
            timer:sleep(1),
            clean(Before)
    end.
