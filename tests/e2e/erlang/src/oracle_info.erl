%% What is to be seen of a process and of a supervisor, as outcomes have it.
-module(oracle_info).
-export([info/2, which_children/2, count_children/2]).

info(Pid, Keys) ->
    case is_process_alive(Pid) of
        true -> maps:from_list([{Key, item(Key, Pid)} || Key <- Keys]);
        false -> <<"undefined">>
    end.

item(<<"hibernating">>, Pid) -> get(Pid, current_function) =:= {erlang, hibernate, 3};
item(<<"registered_name">>, Pid) ->
    case get(Pid, registered_name) of [] -> null; Name -> oracle_terms:out(Name) end;
item(<<"messages">>, Pid) -> [oracle_terms:out(Message) || Message <- get(Pid, messages)];
item(<<"links">>, Pid) -> keys(get(Pid, links));
item(<<"monitored_by">>, Pid) -> keys(get(Pid, monitored_by));
item(<<"monitors">>, Pid) -> keys([Monitored || {process, Monitored} <- get(Pid, monitors)]);
item(Key, Pid) -> oracle_terms:out(get(Pid, binary_to_atom(Key))).

%% The registered name of a process without one is an empty list, not a pair.
get(Pid, Item) ->
    case process_info(Pid, Item) of
        {Item, Value} -> Value;
        [] -> []
    end.

%% Of the scenario's processes only; the names that are monitored are not there.
keys(Pids) -> lists:sort([oracle_world:key(Pid) || Pid <- Pids, is_pid(Pid), oracle_world:key(Pid) =/= undefined]).

which_children(Sup, Timeout) ->
    [[oracle_terms:out(Item) || Item <- [Id, Child, Type]]
     || {Id, Child, Type, _} <- gen_server:call(Sup, which_children, Timeout)].

count_children(Sup, Timeout) -> maps:from_list(gen_server:call(Sup, count_children, Timeout)).
