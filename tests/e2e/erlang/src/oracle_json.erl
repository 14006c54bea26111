%% JSON to terms and back: objects are maps with binary keys, strings are binaries. Members are written in the order of
%% their names, so that equal outcomes are equal bytes.
-module(oracle_json).
-export([decode/1, encode/1]).

decode(Text) ->
    {Value, Rest} = value(space(Text)),
    <<>> = space(Rest),
    Value.

space(<<C, Rest/binary>>) when C =< $\s -> space(Rest);
space(Rest) -> Rest.

value(<<"{", Rest/binary>>) -> members(space(Rest), #{});
value(<<"[", Rest/binary>>) -> elements(space(Rest), []);
value(<<"\"", Rest/binary>>) -> string(Rest, <<>>);
value(<<"true", Rest/binary>>) -> {true, Rest};
value(<<"false", Rest/binary>>) -> {false, Rest};
value(<<"null", Rest/binary>>) -> {null, Rest};
value(Text) -> number(Text, []).

members(<<"}", Rest/binary>>, Map) -> {Map, Rest};
members(<<",", Rest/binary>>, Map) -> members(space(Rest), Map);
members(<<"\"", Text/binary>>, Map) ->
    {Key, Rest} = string(Text, <<>>),
    <<":", More/binary>> = space(Rest),
    {Value, Last} = value(space(More)),
    members(space(Last), Map#{Key => Value}).

elements(<<"]", Rest/binary>>, List) -> {lists:reverse(List), Rest};
elements(<<",", Rest/binary>>, List) -> elements(space(Rest), List);
elements(Text, List) ->
    {Value, Rest} = value(Text),
    elements(space(Rest), [Value | List]).

string(<<"\"", Rest/binary>>, Text) -> {Text, Rest};
string(<<"\\u", Hex:4/binary, Rest/binary>>, Text) ->
    string(Rest, <<Text/binary, (binary_to_integer(Hex, 16))/utf8>>);
string(<<"\\", C, Rest/binary>>, Text) -> string(Rest, <<Text/binary, (escaped(C))>>);
string(<<C, Rest/binary>>, Text) -> string(Rest, <<Text/binary, C>>).

escaped($n) -> $\n;
escaped($t) -> $\t;
escaped($r) -> $\r;
escaped($b) -> $\b;
escaped($f) -> $\f;
escaped(C) -> C.

number(<<C, Rest/binary>>, Digits) when C >= $0, C =< $9; C =:= $-; C =:= $+; C =:= $.; C =:= $e; C =:= $E ->
    number(Rest, [C | Digits]);
number(Rest, Digits) ->
    Text = lists:reverse(Digits),
    {try list_to_integer(Text) catch error:badarg -> list_to_float(Text) end, Rest}.

encode(Map) when is_map(Map) ->
    [${, lists:join($,, [[encode(Key), $:, encode(Value)] || {Key, Value} <- lists:sort(maps:to_list(Map))]), $}];
encode(List) when is_list(List) -> [$[, lists:join($,, [encode(Value) || Value <- List]), $]];
encode(Text) when is_binary(Text) -> [$", [escape(C) || <<C>> <= Text], $"];
encode(Number) when is_integer(Number) -> integer_to_list(Number);
encode(Number) when is_float(Number) -> io_lib:format("~p", [Number]);
encode(Atom) when Atom =:= true; Atom =:= false; Atom =:= null -> atom_to_list(Atom);
encode(Atom) when is_atom(Atom) -> encode(atom_to_binary(Atom)).

escape($") -> "\\\"";
escape($\\) -> "\\\\";
escape(C) when C < $\s -> io_lib:format("\\u~4.16.0b", [C]);
escape(C) -> C.
