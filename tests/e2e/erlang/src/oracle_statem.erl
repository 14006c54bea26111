%% statem: a gen_statem whose table of states, events and actions is in its args.
-module(oracle_statem).
-behaviour(gen_statem).
-export([init/1, callback_mode/0, handle_event/4, terminate/3, state/1, replace/2]).

-record(machine, {n = 0, args, table}).

callback_mode() -> [handle_event_function, state_enter].

init({Id, Args}) ->
    case oracle_start:begin_init(Id, Args) of
        ok ->
            oracle_world:started(Id, self()),
            #{<<"machine">> := #{<<"initial">> := Initial} = Table} = Args,
            Actions = actions(maps:get(<<"init_actions">>, Table, []), none),
            {ok, oracle_terms:in(Initial), #machine{args = Args, table = Table}, Actions};
        Other -> Other
    end.

%% The state's name and the number are what sys:get_state and sys:replace_state are about.
state({State, #machine{n = N}}) -> {State, N};
state(Other) -> Other.

replace({State, Machine}, N) when is_integer(N) -> {State, Machine#machine{n = N}};
replace({_, Machine}, {State, N}) -> {State, Machine#machine{n = N}}.

handle_event(enter, _Previous, State, Machine) ->
    [oracle_world:log({State, enter, none}) || maps:get(<<"enter_log">>, Machine#machine.table, false)],
    {keep_state_and_data, actions(maps:get(<<"enter">>, rows(State, Machine), []), none)};
handle_event({call, From}, get, State, #machine{n = N}) ->
    {keep_state_and_data, [{reply, From, {State, N}}]};
handle_event(info, {'$act', {raise, return, _}}, _, _) ->
    stop;
handle_event(info, {'$act', Act}, _, _) ->
    oracle_act:perform(Act),
    keep_state_and_data;
handle_event(Type, Content, State, Machine) ->
    {Kind, From} = case Type of {call, Caller} -> {call, Caller}; _ -> {Type, none} end,
    oracle_world:log({State, Kind, Content}),
    Row = row(Content, rows(State, Machine)),
    Added = Machine#machine{n = Machine#machine.n + maps:get(<<"add">>, Row, 0)},
    Actions = actions(maps:get(<<"actions">>, Row, []), From),
    case Row of
        #{<<"crash">> := Reason} -> error(oracle_terms:in(Reason));
        #{<<"exit">> := Reason} -> exit(oracle_terms:in(Reason));
        #{<<"stop">> := Reason} -> stop(oracle_terms:in(Reason), [A || {reply, _, _} = A <- Actions], Added);
        #{<<"next">> := <<"@repeat">>} -> {repeat_state, Added, Actions};
        #{<<"next">> := Next} -> {next_state, oracle_terms:in(Next), Added, Actions};
        _ -> {keep_state, Added, Actions}
    end.

stop(Reason, [], Machine) -> {stop, Reason, Machine};
stop(Reason, Replies, Machine) -> {stop_and_reply, Reason, Replies, Machine}.

rows(State, #machine{table = #{<<"states">> := States}}) -> maps:get(atom_to_binary(State), States, #{}).

%% The row for an event's tag, or for any.
row(Content, Rows) ->
    Any = maps:get(<<"*">>, Rows, #{}),
    case Content of
        Tag when is_atom(Tag) -> maps:get(atom_to_binary(Tag), Rows, Any);
        Tuple when is_atom(element(1, Tuple)) -> maps:get(atom_to_binary(element(1, Tuple)), Rows, Any);
        _ -> Any
    end.

actions(List, From) -> lists:append([action(Action, From) || Action <- List]).

action(<<"postpone">>, _) -> [postpone];
action(<<"hibernate">>, _) -> [hibernate];
action([<<"reply">>, _], none) -> [];
action([<<"reply">>, Reply], From) -> [{reply, From, oracle_terms:in(Reply)}];
action([<<"next_event">>, Content], _) -> [{next_event, internal, oracle_terms:in(Content)}];
action([<<"next_cast">>, Content], _) -> [{next_event, cast, oracle_terms:in(Content)}];
action([<<"state_timeout">>, <<"cancel">>], _) -> [{state_timeout, cancel}];
action([<<"state_timeout">>, <<"update">>, Content], _) -> [{state_timeout, update, oracle_terms:in(Content)}];
action([<<"state_timeout">>, Ms, Content], _) -> [{state_timeout, oracle_terms:in(Ms), oracle_terms:in(Content)}];
action([<<"timeout">>, Ms, Content], _) -> [{timeout, oracle_terms:in(Ms), oracle_terms:in(Content)}];
action([<<"named_timeout">>, Name, <<"cancel">>], _) -> [{{timeout, oracle_terms:in(Name)}, cancel}];
action([<<"named_timeout">>, Name, Ms, Content], _) ->
    [{{timeout, oracle_terms:in(Name)}, oracle_terms:in(Ms), oracle_terms:in(Content)}].

terminate(Reason, State, #machine{args = Args}) -> oracle_start:terminate({State, Reason}, Args).
