%% Erlang's side of the benchmark. bench:main([Name]) prints one JSON line; exit status 77 for a name that it does not
%% have. Sizes and meaning are those of README.md. `run` starts it with the limit of processes raised and otherwise with
%% Erlang's defaults.
-module(bench).
-behaviour(gen_server).
-export([main/1]).
-export([init/1, handle_call/3, handle_cast/2]).
-export([start_worker/1]).
-export([node_receiver/0]).
-define(MESSAGE_BYTES, 100).
-define(BIG_BYTES, (64 bsl 20)).

main([Name]) ->
    logger:set_primary_config(level, none),
    case lists:keyfind(Name, 1, benches()) of
        {Name, Bench} ->
            {Value, Unit} = Bench(),
            Line = "{\"bench\":\"~s\",\"peer\":\"beam\",\"unit\":\"~s\",\"value\":~p}~n",
            io:format(Line, [Name, Unit, float(Value)]),
            halt(0);
        false ->
            halt(77)
    end.

benches() ->
    [{"spawn", fun spawn_and_end/0},
     {"spawn_monitored", fun spawn_monitored/0},
     {"idle_mem", fun idle_mem/0},
     {"pingpong", fun pingpong/0},
     {"pingpong_1s", fun pingpong_one_scheduler/0},
     {"send", fun send/0},
     {"call", fun call/0},
     {"fan_in", fun fan_in/0},
     {"ring", fun ring/0},
     {"skynet", fun skynet/0},
     {"supervisor_restart", fun restart_bursts/0},
     {"supervisor_restart_sustained", fun restart_sustained/0},
     {"link_exit", fun link_exit/0},
     {"monitor_down", fun monitor_down/0},
     {"monitor_down_procs", fun monitor_down_procs/0},
     {"registry_register", fun registry_register/0},
     {"registry_whereis", fun registry_whereis/0},
     {"registry_unregister", fun registry_unregister/0},
     {"global_register", fun global_register/0},
     {"global_whereis", fun global_whereis/0},
     {"pg_join", fun pg_join/0},
     {"pg_members", fun pg_members/0},
     {"process_info", fun process_info_each/0},
     {"list_filter", fun list_filter/0},
     {"node_send", fun node_send/0},
     {"node_send_big", fun node_send_big/0},
     {"node_round_trip_p50", fun() -> node_round_trip(0.5) end},
     {"node_round_trip_p99", fun() -> node_round_trip(0.99) end},
     {"node_round_trip_beside_big_p99", fun() -> node_round_trip_beside_big(0.99) end}].

seconds(Fun) ->
    Begin = erlang:monotonic_time(nanosecond),
    Fun(),
    (erlang:monotonic_time(nanosecond) - Begin) / 1.0e9.

per_second(Count, Unit, Fun) -> {Count / seconds(Fun), Unit}.

milliseconds(Fun) -> {seconds(Fun) * 1.0e3, "ms"}.

repeat(0, _) -> ok;
repeat(N, Fun) -> Fun(), repeat(N - 1, Fun).

idle() -> receive stop -> ok end.

idle_processes(Count) -> [spawn(fun idle/0) || _ <- lists:seq(1, Count)].

await_dead(Pids) ->
    case lists:any(fun is_process_alive/1, Pids) of
        true -> erlang:yield(), await_dead(Pids);
        false -> ok
    end.

%% ---- processes started and ended ----

spawn_and_end() ->
    Count = 1000000,
    Before = erlang:system_info(process_count),
    per_second(Count, "procs/s", fun() ->
        repeat(Count, fun() -> spawn(fun() -> ok end) end),
        await_count(Before)
    end).

await_count(Count) ->
    case erlang:system_info(process_count) of
        More when More > Count -> erlang:yield(), await_count(Count);
        _ -> ok
    end.

spawn_monitored() ->
    Count = 1000000,
    per_second(Count, "procs/s", fun() -> spawn_monitored(Count, 100, 0) end).

%% a hundred at a time, so that the queue of DOWN stays short
spawn_monitored(0, _, Waiting) -> drain_downs(Waiting);
spawn_monitored(Left, Batch, Waiting) ->
    repeat(Batch, fun() -> spawn_monitor(fun() -> ok end) end),
    spawn_monitored(Left - Batch, Batch, poll_downs(Waiting + Batch)).

poll_downs(Waiting) ->
    receive {'DOWN', _, process, _, _} -> poll_downs(Waiting - 1) after 0 -> Waiting end.

drain_downs(0) -> ok;
drain_downs(N) -> receive {'DOWN', _, process, _, _} -> drain_downs(N - 1) end.

idle_mem() ->
    Count = 1000000,
    Before = resident_bytes(),
    Handles = [begin {ok, Pid} = gen_server:start(?MODULE, [], []), Pid end || _ <- lists:seq(1, Count)],
    Bytes = resident_bytes() - Before,
    {Bytes / length(Handles), "bytes"}.

resident_bytes() ->
    {ok, File} = file:open("/proc/self/statm", [read, raw, binary]),
    {ok, Statm} = file:read(File, 200),
    ok = file:close(File),
    [_, Resident | _] = binary:split(Statm, <<" ">>, [global]),
    binary_to_integer(Resident) * 4096.

skynet() ->
    milliseconds(fun() ->
        skynet_node(self(), 0, 1000000),
        receive 499999500000 -> ok end
    end).

skynet_node(Parent, Number, 1) ->
    spawn(fun() -> Parent ! Number end);
skynet_node(Parent, Number, Size) ->
    spawn(fun() ->
        Self = self(),
        Part = Size div 10,
        [skynet_node(Self, Number + Index * Part, Part) || Index <- lists:seq(0, 9)],
        Parent ! skynet_sum(10, 0)
    end).

skynet_sum(0, Sum) -> Sum;
skynet_sum(N, Sum) -> receive Number -> skynet_sum(N - 1, Sum + Number) end.

%% ---- messages ----

pingpong() ->
    Count = 2000000,
    Ponger = spawn(fun ponger/0),
    per_second(Count, "round trips/s", fun() -> pings(Count, Ponger) end).

pingpong_one_scheduler() ->
    erlang:system_flag(schedulers_online, 1),
    pingpong().

ponger() ->
    receive {From, Ball} -> From ! Ball, ponger() end.

pings(0, _) -> ok;
pings(N, Ponger) ->
    Ponger ! {self(), 1},
    receive 1 -> pings(N - 1, Ponger) end.

send() -> flooded(1, 5000000).

fan_in() -> flooded(100, 20000).

flooded(Senders, Each) ->
    Count = Senders * Each,
    per_second(Count, "messages/s", fun() ->
        {Counter, Monitor} = spawn_monitor(fun() -> counts(Count) end),
        repeat(Senders, fun() -> spawn(fun() -> flood(Each, Counter) end) end),
        receive {'DOWN', Monitor, process, Counter, normal} -> ok end
    end).

counts(0) -> ok;
counts(N) -> receive _ -> counts(N - 1) end.

flood(0, _) -> ok;
flood(N, To) -> To ! 1, flood(N - 1, To).

call() ->
    Count = 1000000,
    {ok, Server} = gen_server:start(?MODULE, [], []),
    per_second(Count, "calls/s", fun() -> repeat(Count, fun() -> 1 = gen_server:call(Server, 1) end) end).

ring() ->
    {Processes, Rounds} = {1000, 1000},
    First = self(),
    Next = lists:foldl(fun(_, To) -> spawn(fun() -> pass(To) end) end, First, lists:seq(2, Processes)),
    per_second(Processes * Rounds, "hops/s", fun() -> rounds(Rounds, Next) end).

pass(Next) -> receive Token -> Next ! Token, pass(Next) end.

rounds(0, _) -> ok;
rounds(N, Next) -> Next ! N, receive N -> rounds(N - 1, Next) end.

%% ---- supervision, links, monitors ----

init({supervisor, Killer}) ->
    Child = #{id => w, start => {?MODULE, start_worker, [Killer]}},
    {ok, {#{strategy => one_for_one, intensity => 1000000, period => 5}, [Child]}};
init({worker, Killer}) ->
    Killer ! {started, self()},
    {ok, 0};
init([]) -> {ok, 0}.

handle_call(Request, _From, State) -> {reply, Request, State}.

handle_cast(_Request, State) -> {noreply, State}.

start_worker(Killer) -> gen_server:start_link(?MODULE, {worker, Killer}, []).

restart_bursts() ->
    {Kills, Rounds} = {200, 100},
    process_flag(trap_exit, true),
    per_second(Kills * Rounds, "restarts/s", fun() -> repeat(Rounds, fun() -> kill_worker(Kills) end) end).

restart_sustained() ->
    process_flag(trap_exit, true),
    Kills = 20000,
    per_second(Kills, "restarts/s", fun() -> kill_worker(Kills) end).

%% The killer is a process, so it waits as one.
kill_worker(Kills) ->
    {ok, Supervisor} = supervisor:start_link(?MODULE, {supervisor, self()}),
    repeat(Kills, fun() -> exit(next_worker(), kill) end),
    next_worker(),
    unlink(Supervisor),
    exit(Supervisor, kill).

next_worker() -> receive {started, Pid} -> Pid end.

link_exit() ->
    Count = 100000,
    Self = self(),
    Hub = spawn(fun() ->
        Self ! {linked, [spawn_link(fun idle/0) || _ <- lists:seq(1, Count)]},
        idle()
    end),
    Linked = receive {linked, Pids} -> Pids end,
    milliseconds(fun() -> exit(Hub, kill), await_dead(Linked) end).

monitor_down() ->
    Count = 100000,
    Target = spawn(fun idle/0),
    repeat(Count, fun() -> monitor(process, Target) end),
    milliseconds(fun() -> exit(Target, kill), drain_downs(Count) end).

monitor_down_procs() ->
    Count = 100000,
    Self = self(),
    Target = spawn(fun idle/0),
    repeat(Count, fun() -> spawn(fun() -> watch(Target, Self) end) end),
    repeat(Count, fun() -> receive watching -> ok end end),
    milliseconds(fun() ->
        exit(Target, kill),
        repeat(Count, fun() -> receive down -> ok end end)
    end).

watch(Target, Tell) ->
    monitor(process, Target),
    Tell ! watching,
    receive {'DOWN', _, process, Target, _} -> Tell ! down end.

%% ---- names, groups, lists ----

named(Count) ->
    Names = [list_to_atom("name_" ++ integer_to_list(N)) || N <- lists:seq(1, Count)],
    {Names, lists:zip(Names, idle_processes(Count))}.

register_all(Pairs) -> lists:foreach(fun({Name, Pid}) -> register(Name, Pid) end, Pairs).

registry_register() ->
    {_, Pairs} = named(100000),
    per_second(100000, "ops/s", fun() -> register_all(Pairs) end).

registry_whereis() ->
    {Names, Pairs} = named(100000),
    register_all(Pairs),
    per_second(100000, "ops/s", fun() -> lists:foreach(fun(Name) -> true = is_pid(whereis(Name)) end, Names) end).

registry_unregister() ->
    {Names, Pairs} = named(100000),
    register_all(Pairs),
    per_second(100000, "ops/s", fun() -> lists:foreach(fun(Name) -> unregister(Name) end, Names) end).

global_register_all(Pairs) ->
    lists:foreach(fun({Name, Pid}) -> yes = global:register_name(Name, Pid) end, Pairs).

global_register() ->
    {_, Pairs} = named(5000),
    per_second(5000, "ops/s", fun() -> global_register_all(Pairs) end).

global_whereis() ->
    {Names, Pairs} = named(5000),
    global_register_all(Pairs),
    per_second(5000, "ops/s", fun() ->
        lists:foreach(fun(Name) -> true = is_pid(global:whereis_name(Name)) end, Names)
    end).

pg_joins() ->
    {ok, _} = pg:start_link(),
    Pairs = lists:zip(lists:seq(1, 100000), idle_processes(100000)),
    fun() -> lists:foreach(fun({N, Pid}) -> ok = pg:join(N rem 10000, Pid) end, Pairs) end.

pg_join() ->
    Join = pg_joins(),
    per_second(100000, "ops/s", Join).

pg_members() ->
    (pg_joins())(),
    per_second(10000, "ops/s", fun() ->
        100000 = lists:sum([length(pg:get_members(Group)) || Group <- lists:seq(0, 9999)])
    end).

process_info_each() ->
    Pids = idle_processes(100000),
    Items = [message_queue_len, links, status, registered_name, memory, reductions, current_function],
    milliseconds(fun() ->
        lists:foreach(fun(Pid) -> [{message_queue_len, 0} | _] = process_info(Pid, Items) end, Pids)
    end).

list_filter() ->
    Pids = idle_processes(100000),
    await_idle(Pids),
    milliseconds(fun() ->
        Items = [initial_call, message_queue_len],
        Wanted = process_info(hd(Pids), Items),
        Found = [Pid || Pid <- processes(), process_info(Pid, Items) =:= Wanted],
        true = length(Found) >= length(Pids)
    end).

await_idle(Pids) ->
    lists:foreach(fun(Pid) -> await_waiting(Pid) end, Pids).

await_waiting(Pid) ->
    case process_info(Pid, status) of
        {status, waiting} -> ok;
        _ -> erlang:yield(), await_waiting(Pid)
    end.

%% ---- another node ----

%% A receiver on a fresh node on loopback, as that of bench-arsenal.
other_node() ->
    os:cmd("epmd -daemon"),
    ok = distribute(100),
    Path = filename:dirname(code:which(?MODULE)),
    Options = #{name => peer:random_name(), host => "127.0.0.1", longnames => true, args => ["-pa", Path]},
    {ok, _, Node} = peer:start_link(Options),
    spawn(Node, ?MODULE, node_receiver, []).

%% epmd may not listen yet.
distribute(0) -> no_distribution;
distribute(Tries) ->
    case net_kernel:start(['bench@127.0.0.1', longnames]) of
        {ok, _} -> ok;
        {error, _} -> timer:sleep(50), distribute(Tries - 1)
    end.

node_receiver() -> node_receiver(0, none).

node_receiver(Left, Asked) ->
    receive
        {expect, Count, From} -> node_receiver(Count, From);
        {ping, From} -> From ! pong, node_receiver(Left, Asked);
        Bytes when is_binary(Bytes), Left =:= 1 -> Asked ! ok, node_receiver(0, none);
        Bytes when is_binary(Bytes) -> node_receiver(Left - 1, Asked)
    end.

stream(To, Count, Payload) ->
    To ! {expect, Count, self()},
    repeat(Count, fun() -> To ! Payload end),
    receive ok -> ok end.

round_trips(To, Count) ->
    [begin
         Begin = erlang:monotonic_time(nanosecond),
         To ! {ping, self()},
         receive pong -> ok end,
         (erlang:monotonic_time(nanosecond) - Begin) / 1.0e3
     end || _ <- lists:seq(1, Count)].

quantile(Took, Part) -> {lists:nth(min(length(Took), trunc(length(Took) * Part) + 1), lists:sort(Took)), "us"}.

bytes(Count) -> binary:copy(<<"x">>, Count).

node_send() ->
    To = other_node(),
    stream(To, 10000, bytes(?MESSAGE_BYTES)),
    per_second(2000000, "messages/s", fun() -> stream(To, 2000000, bytes(?MESSAGE_BYTES)) end).

node_send_big() ->
    To = other_node(),
    Big = bytes(?BIG_BYTES),
    stream(To, 1, Big),
    per_second(12 * 64, "MB/s", fun() -> stream(To, 12, Big) end).

node_round_trip(Part) ->
    To = other_node(),
    round_trips(To, 1000),
    quantile(round_trips(To, 20000), Part).

node_round_trip_beside_big(Part) ->
    To = other_node(),
    round_trips(To, 1000),
    Big = bytes(?BIG_BYTES),
    {_, Monitor} = spawn_monitor(fun() -> stream(To, 12, Big) end),
    quantile(round_trips_until(To, Monitor), Part).

round_trips_until(To, Monitor) ->
    receive {'DOWN', Monitor, process, _, _} -> []
    after 0 -> round_trips(To, 20) ++ round_trips_until(To, Monitor)
    end.
