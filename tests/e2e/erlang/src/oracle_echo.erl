%% echo: a gen_server that answers each call with its argument, and logs what is no request.
-module(oracle_echo).
-behaviour(gen_server).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

init({Id, Args}) ->
    case oracle_start:begin_init(Id, Args) of
        ok -> oracle_world:started(Id, self()), {ok, Args};
        Other -> Other
    end.

handle_call(Message, _From, Args) -> {reply, Message, Args}.
handle_cast(_, Args) -> {noreply, Args}.

handle_info({'$act', {raise, return, _}}, Args) -> {stop, normal, Args};
handle_info({'$act', Act}, Args) -> oracle_act:perform(Act), {noreply, Args};
handle_info(Message, Args) -> oracle_world:log(Message), {noreply, Args}.

terminate(Reason, Args) -> oracle_start:terminate(Reason, Args).
