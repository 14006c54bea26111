%% Terms between the scenario's words and Erlang's. In words an atom is a string, a tuple an array; pids, references,
%% stack traces and the arguments of failed calls have words of their own (README of the scenarios, section 1).
-module(oracle_terms).
-export([in/1, out/1, target/1, name/1]).

in(Text) when is_binary(Text) -> binary_to_atom(Text);
in(List) when is_list(List) -> list_to_tuple([in(Item) || Item <- List]);
in(#{<<"list">> := List}) -> [in(Item) || Item <- List];
in(#{<<"pid">> := Id}) -> oracle_world:pid(Id);
in(Other) -> Other.

%% A target of a step as an Erlang server reference.
target(<<"name:", Name/binary>>) -> binary_to_atom(hd(binary:split(Name, <<"@a">>)));
target(<<"global:", Name/binary>>) -> {global, binary_to_atom(Name)};
target(Id) -> oracle_world:pid(Id).

%% A name to register under, as gen's start functions take it.
name(<<"global:", Name/binary>>) -> {global, binary_to_atom(Name)};
name(Name) -> {local, binary_to_atom(Name)}.

out(Pid) when is_pid(Pid) -> #{<<"pid">> => key(Pid)};
out(Reference) when is_reference(Reference) -> #{<<"ref">> => oracle_world:reference_name(Reference)};
out(Tuple) when is_tuple(Tuple) -> tuple(Tuple);
out(List) when is_list(List) -> #{<<"list">> => [out(Item) || Item <- List]};
out(#{id := Id, start := _}) -> #{<<"child_spec">> => out(Id)};
out(Map) when is_map(Map) -> maps:from_list([{Key, out(Value)} || {Key, Value} <- maps:to_list(Map)]);
out(Node) when Node =:= node() -> #{<<"node">> => <<"a">>};
out(Boolean) when is_boolean(Boolean) -> Boolean;
out(Atom) when is_atom(Atom) -> atom_to_binary(Atom);
out(Number) when is_number(Number) -> Number;
out(_) -> <<"?">>.

tuple({oracle_handler, Id}) -> #{<<"handler">> => out(Id)};
tuple({bad_start_spec, _}) -> [<<"bad_start_spec">>, <<"...">>];
tuple({Name, Node}) when is_atom(Name), Node =:= node() ->
    #{<<"name">> => atom_to_binary(Name), <<"node">> => <<"a">>};
tuple({Reason, [{M, F, _, _} | _]}) when is_atom(M), is_atom(F) -> #{<<"crash">> => out(Reason)};
tuple({Reason, {sys, _, Args}}) when is_list(Args) -> #{<<"call_exit">> => out(Reason)};
tuple({Reason, {M, F, Args}}) when is_atom(M), is_atom(F), is_list(Args) -> #{<<"call_exit">> => out(Reason)};
tuple(Child) when element(1, Child) =:= child, tuple_size(Child) > 6 -> #{<<"child_spec">> => out(element(3, Child))};
tuple(Tuple) -> [out(Item) || Item <- tuple_to_list(Tuple)].

key(Pid) ->
    Driver = persistent_term:get(oracle_driver, none),
    case oracle_world:key(Pid) of
        undefined when Pid =:= Driver -> <<"driver">>;
        undefined -> <<"?">>;
        Key -> Key
    end.
