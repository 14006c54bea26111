%% Having a process do what a step says: the process performs it in a turn of its own, and tells what came of it.
-module(oracle_act).
-export([ask/3, tell/2, perform/1]).

%% What the function came to, executed by the process: {ok, Value}, {exception, Class, Reason}, {actor_died, Reason},
%% no_response. If Uncaught, an exception is the process's own.
ask(Pid, Function, Uncaught) ->
    Monitor = monitor(process, Pid),
    Pid ! {'$act', {run, self(), Monitor, Function, Uncaught}},
    receive
        {Monitor, Result} -> demonitor(Monitor, [flush]), Result;
        {'DOWN', Monitor, process, Pid, Reason} -> {actor_died, Reason}
    after 12000 -> demonitor(Monitor, [flush]), no_response
    end.

%% Tells it to `{raise, Class, Reason}` or to `hibernate`; nobody waits.
tell(Pid, Act) ->
    Pid ! {'$act', Act},
    ok.

perform({run, From, Tag, Function, true}) -> From ! {Tag, {ok, Function()}};
perform({run, From, Tag, Function, false}) ->
    Result = try {ok, Function()} catch Class:Reason -> {exception, Class, Reason} end,
    From ! {Tag, Result};
perform({raise, error, Reason}) -> error(Reason);
perform({raise, exit, Reason}) -> exit(Reason);
perform({raise, throw, Reason}) -> throw(Reason).
