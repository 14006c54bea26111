%% plain and recorder: raw processes. The one leaves its mailbox unread, the other traps exits and logs all that it
%% gets; both do what a step has them do.
-module(oracle_raw).
-export([start/5, init/5, loop/1]).

start(How, Kind, Id, Args, Name) ->
    Timeout = maps:get(<<"start_timeout">>, Args, infinity),
    Start = fun(Function) -> proc_lib:Function(?MODULE, init, [self(), Kind, Id, Args, Name], Timeout) end,
    case How of
        start_monitor ->
            case Start(start_monitor) of
                {{ok, Pid}, Monitor} -> {ok, {Pid, Monitor}};
                {Failure, Monitor} -> receive {'DOWN', Monitor, process, _, _} -> Failure end
            end;
        _ -> Start(How)
    end.

init(Starter, Kind, Id, Args, Name) ->
    process_flag(trap_exit, Kind =:= recorder),
    case register_name(Name) of
        yes -> init(Starter, Kind, Id, Args);
        {no, Pid} -> proc_lib:init_ack(Starter, {error, {already_started, Pid}})
    end.

init(Starter, Kind, Id, Args) ->
    try oracle_start:begin_init(Id, Args) of
        ok ->
            oracle_world:started(Id, self()),
            proc_lib:init_ack(Starter, {ok, self()}),
            loop(Kind);
        ignore ->
            proc_lib:init_ack(Starter, ignore);
        {stop, Reason} ->
            proc_lib:init_ack(Starter, {error, Reason}),
            exit(Reason)
    catch
        exit:Reason ->
            proc_lib:init_ack(Starter, {error, Reason}),
            exit(Reason);
        error:Error:Stack ->
            proc_lib:init_ack(Starter, {error, {Error, Stack}}),
            exit({Error, Stack})
    end.

register_name(none) ->
    yes;
register_name(Name) ->
    case oracle_terms:name(Name) of
        {local, Local} ->
            try register(Local, self()) of true -> yes catch error:badarg -> {no, whereis(Local)} end;
        {global, Global} ->
            case global:register_name(Global, self()) of yes -> yes; no -> {no, global:whereis_name(Global)} end
    end.

loop(plain) ->
    receive {'$act', Act} -> act(Act, plain) end;
loop(recorder) ->
    receive
        {'$act', Act} -> act(Act, recorder);
        {'$gen_call', From, Message} ->
            oracle_world:log({call_received, Message}),
            gen:reply(From, ok),
            loop(recorder);
        {'$gen_cast', Message} ->
            oracle_world:log({cast, Message}),
            loop(recorder);
        Message ->
            oracle_world:log(Message),
            loop(recorder)
    end.

act(hibernate, Kind) -> proc_lib:hibernate(?MODULE, loop, [Kind]);
act({raise, return, _}, _) -> ok;
act(Act, Kind) ->
    oracle_act:perform(Act),
    loop(Kind).
