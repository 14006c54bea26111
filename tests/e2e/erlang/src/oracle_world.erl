%% What happens in a scenario: who was started, how each ended, what was logged, and in which order. One process, told
%% synchronously by those whom it happens to; it watches each process that was started. Its table is read by anyone.
-module(oracle_world).
-behaviour(gen_server).
-export([start/0, stop/0]).
-export([attempt/1, started/2, started/3, terminating/1, log/1, log/2, name_reference/2]).
-export([pid/1, key/1, reference/1, reference_name/1, lives/0, exits/1, supervisors/0, logs/0, lifecycle/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2]).

start() ->
    {ok, _} = gen_server:start({local, ?MODULE}, ?MODULE, [], []),
    ok.

stop() -> gen_server:stop(?MODULE).

%% Init is entered: the number of the attempt.
attempt(Id) -> gen_server:call(?MODULE, {attempt, Id}, infinity).

%% Init went well: the process is the next incarnation of its id.
started(Id, Pid) -> started(Id, Pid, process).
started(Id, Pid, Kind) -> gen_server:call(?MODULE, {started, Id, Pid, Kind}, infinity).

%% The caller's terminate callback runs.
terminating(Reason) -> gen_server:call(?MODULE, {terminating, self(), Reason}, infinity).

%% An entry of the caller's log, or of the log with that key.
log(Entry) -> log(key(self()), Entry).
log(Key, Entry) -> insert({{log, erlang:unique_integer([monotonic])}, Key, Entry}).

%% The scenario's name of a monitor or timer.
name_reference(Reference, Name) ->
    insert({{name, Reference}, Name}),
    insert({{reference, Name}, Reference}).

%% `w` is the latest incarnation, `w#1` that very one; a process that never was stands for what was never started.
pid(Reference) ->
    {Id, Number} =
        case binary:split(Reference, <<"#">>) of
            [Name, Text] -> {Name, binary_to_integer(Text)};
            [Name] -> {Name, latest}
        end,
    Pids = pids(Id),
    if
        Number =:= latest, Pids =/= [] -> lists:last(Pids);
        is_integer(Number), Number =< length(Pids) -> lists:nth(Number, Pids);
        true -> nobody()
    end.

nobody() ->
    {Pid, Monitor} = spawn_monitor(fun() -> ok end),
    receive {'DOWN', Monitor, process, Pid, _} -> Pid end.

%% `w#1`; undefined for a process that never completed its start.
key(Pid) ->
    case ets:lookup(?MODULE, {pid, Pid}) of
        [{_, Id, Number}] -> <<Id/binary, "#", (integer_to_binary(Number))/binary>>;
        [] -> undefined
    end.

reference(Name) ->
    case ets:lookup(?MODULE, {reference, Name}) of
        [{_, Reference}] -> Reference;
        [] -> make_ref()
    end.

reference_name(Reference) ->
    case ets:lookup(?MODULE, {name, Reference}) of
        [{_, Name}] -> Name;
        [] -> <<"?">>
    end.

%% Each id with its number of attempts and its incarnations, first to last.
lives() -> [{Id, attempts(Id), pids(Id)} || [Id] <- ets:match(?MODULE, {{attempts, '$1'}, '_'})].

%% The reason if it has ended.
exits(Pid) -> [Reason || {_, Reason} <- ets:lookup(?MODULE, {exit, Pid})].

supervisors() -> [Id || [Id] <- ets:match(?MODULE, {{kind, '$1'}, supervisor})].

%% Key and entry, in order.
logs() -> [{Key, Entry} || {_, Key, Entry} <- sorted({{log, '_'}, '_', '_'})].

lifecycle() -> [Event || {_, Event} <- sorted({{event, '_'}, '_'})].

sorted(Pattern) -> lists:sort(ets:match_object(?MODULE, Pattern)).

insert(Row) ->
    true = ets:insert(?MODULE, Row),
    ok.

attempts(Id) -> ets:lookup_element(?MODULE, {attempts, Id}, 2).

pids(Id) ->
    case ets:lookup(?MODULE, {pids, Id}) of
        [{_, Pids}] -> Pids;
        [] -> []
    end.

%% The state holds the monitors of those who live.
init([]) ->
    ?MODULE = ets:new(?MODULE, [named_table, public, ordered_set]),
    {ok, #{}}.

handle_call({attempt, Id}, _From, Living) ->
    {reply, ets:update_counter(?MODULE, {attempts, Id}, 1, {{attempts, Id}, 0}), Living};
handle_call({started, Id, Pid, Kind}, _From, Living) ->
    Pids = pids(Id) ++ [Pid],
    insert([{{pids, Id}, Pids}, {{pid, Pid}, Id, length(Pids)}, {{kind, Id}, Kind}]),
    event({start, Pid}),
    {reply, ok, Living#{Pid => monitor(process, Pid)}};
handle_call({terminating, Pid, Reason}, _From, Living) ->
    [event({terminate, Pid, Reason}) || is_map_key(Pid, Living)],
    {reply, ok, Living}.

handle_cast(_, Living) -> {noreply, Living}.

handle_info({'DOWN', Monitor, process, Pid, Reason}, Living) when map_get(Pid, Living) =:= Monitor ->
    {noreply, ended(Pid, Reason, Living)};
handle_info(_, Living) ->
    {noreply, Living}.

ended(Pid, Reason, Living) ->
    insert({{exit, Pid}, Reason}),
    event({exit, Pid, Reason}),
    maps:remove(Pid, Living).

event(Event) -> insert({{event, erlang:unique_integer([monotonic])}, Event}).
