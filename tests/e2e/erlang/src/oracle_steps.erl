%% The operations of steps: what each does, as a function that the acting process executes.
-module(oracle_steps).
-export([operation/1]).

-import(oracle_terms, [in/1, target/1]).

%% Who may act where the step names nobody: the driver itself, or any process (`client`) since it only asks.
operation(#{<<"op">> := Op} = Step) -> operation(Op, Step).

operation(<<"spawn">>, #{<<"id">> := Id, <<"behaviour">> := Behaviour} = Step) ->
    How = case Step of
        #{<<"spawn_monitor">> := true} -> start_monitor;
        #{<<"parent">> := _} -> start_link;
        _ when Behaviour =:= <<"supervisor">> -> start_link;
        _ -> start
    end,
    Start = fun() -> oracle_start:start(How, Behaviour, Id, maps:get(<<"args">>, Step, #{}), name(Step)) end,
    {driver, fun() -> started(Start(), Step) end};
operation(<<"start_supervisor">>, #{<<"id">> := Id} = Step) ->
    {driver, fun() -> started(oracle_start:start(start_link, <<"supervisor">>, Id, Step, name(Step)), Step) end};
operation(<<"sleep_ms">>, #{<<"ms">> := Ms}) -> {client, fun() -> timer:sleep(Ms) end};
operation(<<"is_alive">>, #{<<"id">> := Id}) -> {client, fun() -> is_process_alive(target(Id)) end};
operation(<<"alive_count">>, #{<<"ids">> := Ids}) ->
    {client, fun() -> length([Id || Id <- Ids, is_process_alive(target(Id))]) end};
operation(<<"process_info">>, #{<<"id">> := Id, <<"keys">> := Keys}) ->
    {client, fun() -> {json, oracle_info:info(target(Id), Keys)} end};
operation(Op, Step) ->
    case hd(binary:split(Op, <<"_">>)) of
        <<"pg">> -> pg(Op, Step);
        <<"global">> -> global(Op, Step);
        <<"sys">> -> server(Op, Step);
        _ when is_map_key(<<"mgr">>, Step) -> {driver, fun() -> events(Op, target(maps:get(<<"mgr">>, Step)), Step) end};
        _ when is_map_key(<<"sup">>, Step) -> {client, fun() -> children(Op, target(maps:get(<<"sup">>, Step)), Step) end};
        _ when is_map_key(<<"timer">>, Step) -> timer(Op, Step);
        _ -> other(Op, Step)
    end.

name(Step) -> maps:get(<<"name">>, Step, none).

started({ok, {Pid, Monitor}}, Step) -> named(Step, fun() -> {Monitor, Pid} end), {Pid, Monitor};
started({ok, Pid}, _) -> Pid;
started(Other, _) -> Other.

%% supervisor

children(<<"start_child">>, Sup, #{<<"instance">> := Id}) -> start_result(supervisor:start_child(Sup, [Id]));
children(<<"start_child">>, Sup, #{<<"child">> := Child}) ->
    start_result(supervisor:start_child(Sup, oracle_supervisor:child(Child)));
children(<<"terminate_child">>, Sup, Step) -> supervisor:terminate_child(Sup, child(Step));
children(<<"restart_child">>, Sup, Step) -> start_result(supervisor:restart_child(Sup, child(Step)));
children(<<"delete_child">>, Sup, Step) -> supervisor:delete_child(Sup, child(Step));
children(<<"get_childspec">>, Sup, Step) ->
    case supervisor:get_childspec(Sup, child(Step)) of
        {ok, Spec} -> maps:with([id, restart, shutdown, significant, type], Spec);
        Error -> Error
    end;
children(<<"which_children">>, Sup, _) -> {json, oracle_info:which_children(Sup, infinity)};
children(<<"count_children">>, Sup, _) -> {json, oracle_info:count_children(Sup, infinity)}.

child(#{<<"child_pid">> := Id}) -> oracle_world:pid(Id);
child(#{<<"child">> := Id}) -> in(Id).

start_result({ok, Pid}) when is_pid(Pid) -> Pid;
start_result(Other) -> Other.

%% gen_event

events(<<"add_handler">>, Manager, #{<<"handler">> := Id} = Step) ->
    Add = case Step of #{<<"sup">> := true} -> add_sup_handler; _ -> add_handler end,
    gen_event:Add(Manager, handler(Id), handler_args(Id, Step));
events(<<"delete_handler">>, Manager, #{<<"handler">> := Id} = Step) ->
    gen_event:delete_handler(Manager, handler(Id), in(maps:get(<<"arg">>, Step, <<"args">>)));
events(<<"swap_handler">>, Manager, #{<<"handler">> := Id, <<"to_handler">> := Other} = Step) ->
    gen_event:swap_handler(Manager, {handler(Id), swap}, {handler(Other), handler_args(Other, Step)});
events(<<"which_handlers">>, Manager, _) -> gen_event:which_handlers(Manager);
events(<<"notify">>, Manager, #{<<"event">> := Event}) -> gen_event:notify(Manager, in(Event));
events(<<"sync_notify">>, Manager, #{<<"event">> := Event}) -> gen_event:sync_notify(Manager, in(Event));
events(<<"event_call">>, Manager, #{<<"handler">> := Id, <<"msg">> := Message} = Step) ->
    gen_event:call(Manager, handler(Id), in(Message), in(maps:get(<<"timeout">>, Step, 1000))).

handler(Id) -> {oracle_handler, in(Id)}.

handler_args(Id, #{<<"mgr">> := Manager} = Step) ->
    Init = maps:get(<<"init">>, Step, <<"ok">>),
    #{manager => maps:get(<<"mgr_id">>, Step, Manager), id => in(Id), init => Init}.

%% pg

pg(<<"pg_join">>, Step) -> {driver, fun() -> pg:join(group(Step), members(Step)) end};
pg(<<"pg_leave">>, Step) -> {driver, fun() -> pg:leave(group(Step), members(Step)) end};
pg(<<"pg_members">>, Step) -> {client, fun() -> set(pg:get_members(group(Step))) end};
pg(<<"pg_local_members">>, Step) -> {client, fun() -> set(pg:get_local_members(group(Step))) end};
pg(<<"pg_groups">>, _) -> {client, fun() -> set(pg:which_groups()) end};
pg(<<"pg_monitor">>, Step) ->
    {driver, fun() -> named(Step, fun() -> pg:monitor(group(Step)) end) end};
pg(<<"pg_demonitor">>, #{<<"monitor">> := Name}) ->
    {driver, fun() -> pg:demonitor(oracle_world:reference(Name)) end}.

group(#{<<"group">> := Group}) -> in(Group).

members(#{<<"ids">> := Ids}) -> [target(Id) || Id <- Ids];
members(#{<<"id">> := Id}) -> target(Id).

set(List) -> {json, #{<<"set">> => lists:sort([oracle_terms:out(Item) || Item <- List])}}.

%% global

global(<<"global_names">>, _) -> {client, fun() -> set(global:registered_names()) end};
global(Op, #{<<"name">> := Name} = Step) ->
    Global = in(Name),
    Pid = fun() -> target(maps:get(<<"id">>, Step)) end,
    Resolve = in(maps:get(<<"resolve">>, Step, <<"random_exit_name">>)),
    {driver, case Op of
        <<"global_register">> -> fun() -> global:register_name(Global, Pid(), fun global:Resolve/3) end;
        <<"global_re_register">> -> fun() -> global:re_register_name(Global, Pid(), fun global:Resolve/3) end;
        <<"global_unregister">> -> fun() -> global:unregister_name(Global), ok end;
        <<"global_whereis">> -> fun() -> global:whereis_name(Global) end
    end}.

%% timers

timer(<<"cancel_timer">>, #{<<"timer">> := Name}) ->
    {driver, fun() -> erlang:cancel_timer(oracle_world:reference(Name)) end};
timer(<<"read_timer">>, #{<<"timer">> := Name}) ->
    {driver, fun() -> erlang:read_timer(oracle_world:reference(Name)) end}.

%% servers

server(<<"sys_suspend">>, Step) -> {client, fun() -> sys:suspend(to(Step)) end};
server(<<"sys_resume">>, Step) -> {client, fun() -> sys:resume(to(Step)) end};
server(<<"get_state">>, Step) -> {client, fun() -> state(sys:get_state(to(Step))) end};
server(<<"set_state">>, #{<<"value">> := Value} = Step) ->
    Replace = fun(State) -> replace(State, in(Value)) end,
    {client, fun() -> state(sys:replace_state(to(Step), Replace)) end}.

state({Name, Data}) when is_atom(Name) -> oracle_statem:state({Name, Data});
state(State) -> oracle_counter:state(State).

replace({_, _} = State, Value) -> oracle_statem:replace(State, Value);
replace(State, Value) -> oracle_counter:replace(State, Value).

%% signals, messages, names, scheduling

other(<<"call">>, #{<<"msg">> := Message} = Step) ->
    {client, fun() -> gen_server:call(to(Step), in(Message), in(maps:get(<<"timeout">>, Step, 5000))) end};
other(<<"cast">>, #{<<"msg">> := Message} = Step) -> {driver, fun() -> gen_server:cast(to(Step), in(Message)) end};
other(<<"stop">>, Step) ->
    Reason = in(maps:get(<<"reason">>, Step, <<"normal">>)),
    {client, fun() -> gen_server:stop(to(Step), Reason, in(maps:get(<<"timeout">>, Step, <<"infinity">>))) end};
other(Op, Step) when Op =:= <<"get_state">>; Op =:= <<"set_state">> -> server(Op, Step);
other(<<"send">>, #{<<"msg">> := Message} = Step) -> {driver, fun() -> send(to(Step), in(Message)) end};
other(<<"send_many">>, #{<<"count">> := Count} = Step) ->
    {driver, fun() -> [send(to(Step), {n, N}) || N <- lists:seq(1, Count)], ok end};
other(<<"link">>, Step) -> {driver, fun() -> link(to(Step)) end};
other(<<"unlink">>, Step) -> {driver, fun() -> unlink(to(Step)) end};
other(<<"monitor">>, Step) -> {driver, fun() -> named(Step, fun() -> monitor(process, to(Step)) end) end};
other(<<"demonitor">>, #{<<"monitor">> := Name} = Step) ->
    Options = [in(Option) || Option <- maps:get(<<"opts">>, Step, [])],
    {driver, fun() -> demonitor(oracle_world:reference(Name), Options) end};
other(<<"exit_signal">>, #{<<"reason">> := Reason} = Step) -> {driver, fun() -> exit(to(Step), in(Reason)) end};
other(<<"kill">>, Step) -> {driver, fun() -> exit(to(Step), kill) end};
other(<<"trap_exit">>, #{<<"value">> := Value}) -> {driver, fun() -> process_flag(trap_exit, Value) end};
other(<<"priority">>, #{<<"value">> := Value}) -> {driver, fun() -> process_flag(priority, in(Value)) end};
other(<<"suspend">>, Step) ->
    Options = [in(Option) || Option <- maps:get(<<"opts">>, Step, [])],
    {driver, fun() -> erlang:suspend_process(to(Step), Options) end};
other(<<"resume">>, Step) -> {driver, fun() -> erlang:resume_process(to(Step)) end};
other(<<"register">>, #{<<"name">> := Name, <<"id">> := Id}) ->
    {driver, fun() -> register(in(Name), target(Id)) end};
other(<<"unregister">>, #{<<"name">> := Name}) -> {driver, fun() -> unregister(in(Name)) end};
other(<<"whereis">>, #{<<"name">> := Name}) -> {client, fun() -> whereis(in(Name)) end};
other(<<"send_after">>, #{<<"ms">> := Ms, <<"msg">> := Message} = Step) ->
    {driver, fun() -> named(Step, fun() -> erlang:send_after(Ms, to(Step), in(Message)) end) end};
other(<<"start_timer">>, #{<<"ms">> := Ms, <<"msg">> := Message} = Step) ->
    {driver, fun() -> named(Step, fun() -> erlang:start_timer(Ms, to(Step), in(Message)) end) end};
other(<<"receive">>, Step) ->
    Timeout = maps:get(<<"timeout">>, Step, 0),
    {driver, fun() -> take(in(maps:get(<<"match">>, Step, <<"any">>)), Timeout) end};
other(<<"nodes">>, _) -> {client, fun() -> nodes() end};
other(_, _) -> unsupported.

to(#{<<"to">> := To}) -> target(To).

send({global, Name}, Message) -> global:send(Name, Message);
send(To, Message) -> To ! Message, ok.

%% Remembers the monitor or timer, or the first of a tuple, under the scenario's name for it.
named(Step, Make) ->
    Result = Make(),
    Reference = case Result of {First, _} -> First; _ -> Result end,
    [oracle_world:name_reference(Reference, Name) || #{<<"ref">> := Name} <- [Step]],
    Result.

take(any, Timeout) ->
    receive Message when element(1, Message) =/= '$act' -> {got, Message};
            Message when not is_tuple(Message) -> {got, Message}
    after Timeout -> timeout end;
take(Tag, Timeout) ->
    receive Tag -> {got, Tag};
            Message when element(1, Message) =:= Tag -> {got, Message}
    after Timeout -> timeout end.
