%% Starting a process of a scenario, and what the args common to all say of a start and of an end.
-module(oracle_start).
-export([start/5, child/1, child/2, begin_init/2, terminate/2]).

%% How: start, start_link, start_monitor. Name: none, or as the scenario has it.
start(How, Behaviour, Id, Args, Name) ->
    Options = [{timeout, maps:get(<<"start_timeout">>, Args, infinity)}],
    case Behaviour of
        <<"plain">> -> oracle_raw:start(How, plain, Id, Args, Name);
        <<"recorder">> -> oracle_raw:start(How, recorder, Id, Args, Name);
        <<"echo">> -> gen(gen_server, How, Name, [oracle_echo, {Id, Args}, Options]);
        <<"counter">> -> gen(gen_server, How, Name, [oracle_counter, {Id, Args}, Options]);
        <<"statem">> -> gen(gen_statem, How, Name, [oracle_statem, {Id, Args}, Options]);
        <<"event_manager">> -> event_manager(How, Id, Name, Options);
        <<"supervisor">> -> gen(supervisor, How, Name, [oracle_supervisor, {Id, Args}])
    end.

gen(Module, How, none, Args) -> apply(Module, How, Args);
gen(Module, How, Name, Args) -> apply(Module, How, [oracle_terms:name(Name) | Args]).

%% A gen_event has no init of its own.
event_manager(How, Id, Name, Options) ->
    Result = gen(gen_event, How, Name, [Options]),
    case Result of
        {ok, {Pid, _Monitor}} -> begun(Id, Pid);
        {ok, Pid} -> begun(Id, Pid);
        _ -> ok
    end,
    Result.

begun(Id, Pid) ->
    oracle_world:attempt(Id),
    oracle_world:started(Id, Pid).

%% The start function of a child specification; an instance of a simple_one_for_one has an id of its own.
child(Child) -> child(Child, maps:get(<<"id">>, Child)).

child(#{<<"behaviour">> := <<"supervisor">>} = Child, Id) ->
    start(start_link, <<"supervisor">>, Id, Child, maps:get(<<"name">>, Child, none));
child(#{<<"behaviour">> := Behaviour} = Child, Id) ->
    Args = maps:get(<<"args">>, Child, #{}),
    start(start_link, Behaviour, Id, Args, maps:get(<<"name">>, Args, none)).

%% Enters init: ok, ignore, {stop, Reason}, or it raises. What is ok still has to tell oracle_world.
begin_init(Id, Args) ->
    Attempt = oracle_world:attempt(Id),
    [process_flag(trap_exit, true) || maps:get(<<"trap_exit">>, Args, false)],
    timer:sleep(maps:get(<<"init_sleep">>, Args, 0)),
    case outcome(maps:get(<<"init">>, Args, <<"ok">>), Attempt) of
        <<"ok">> -> ok;
        <<"ignore">> -> ignore;
        #{<<"stop">> := Reason} -> {stop, oracle_terms:in(Reason)};
        #{<<"crash">> := Reason} -> error(oracle_terms:in(Reason));
        #{<<"exit">> := Reason} -> exit(oracle_terms:in(Reason));
        #{<<"sleep">> := Ms} -> timer:sleep(Ms)
    end.

outcome(List, Attempt) when is_list(List) -> lists:nth(min(Attempt, length(List)), List);
outcome(Outcome, _) -> Outcome.

%% The terminate callback; the entry is what the lifecycle has as its reason.
terminate(Entry, Args) ->
    oracle_world:terminating(Entry),
    timer:sleep(maps:get(<<"terminate_sleep">>, Args, 0)),
    case Args of
        #{<<"terminate_crash">> := Reason} -> error(oracle_terms:in(Reason));
        #{<<"terminate_exit">> := Reason} -> exit(oracle_terms:in(Reason));
        _ -> ok
    end.
