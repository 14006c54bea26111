%% supervisor: OTP's, with the flags and children of the scenario.
-module(oracle_supervisor).
-behaviour(supervisor).
-export([init/1, child/1]).

init({Id, Spec}) ->
    case oracle_start:begin_init(Id, Spec) of
        ok ->
            oracle_world:started(Id, self(), supervisor),
            {ok, {flags(Spec), [child(Child) || Child <- maps:get(<<"children">>, Spec, [])]}};
        Other -> Other
    end.

flags(Spec) -> picked([strategy, intensity, period, auto_shutdown], Spec).

%% A child specification as OTP takes it, with no default filled in that OTP fills in itself.
child(#{<<"id">> := Id} = Child) ->
    Own = picked([restart, shutdown, type, significant], Child),
    Type = case Child of #{<<"behaviour">> := <<"supervisor">>} -> #{type => supervisor}; _ -> #{} end,
    maps:merge(Type, Own#{id => oracle_terms:in(Id), start => {oracle_start, child, [Child]}}).

picked(Keys, Map) ->
    maps:from_list([{Key, oracle_terms:in(maps:get(atom_to_binary(Key), Map))}
                    || Key <- Keys, is_map_key(atom_to_binary(Key), Map)]).
