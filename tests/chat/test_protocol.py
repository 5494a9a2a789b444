import json

import pytest

from haruon_tui.chat import protocol
from haruon_tui.chat.protocol import Failed, Generate, Load, Sampling, Stop, Token


@pytest.mark.parametrize(
    "request_",
    [
        Load("/모델/model.gguf", 1024, None, 0),
        Generate(3, [{"role": "user", "content": "줄\n바꿈 \ud800 😀"}], Sampling(seed=1)),
        Stop(3),
    ],
)
def test_a_request_survives_the_pipe_on_one_line(request_: protocol.Request) -> None:
    line = protocol.encode(request_)
    assert line.count(b"\n") == 1
    assert protocol.decode_request(line) == request_


def test_events_survive_the_pipe() -> None:
    for event in (Token(1, "한\u2028"), Failed("no", None, "here", "this", "that")):
        assert protocol.decode_event(protocol.encode(event)) == event


@pytest.mark.parametrize("line", [b"", b"llama: hello", b"[]", b'{"kind": "dance"}', b"\xff"])
def test_what_is_no_message_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        protocol.decode_event(line)
    with pytest.raises(ValueError):
        protocol.decode_request(line)


def test_every_event_names_its_kind() -> None:
    assert json.loads(protocol.encode(Token(1, "a"))) == {"kind": "token", "id": 1, "text": "a"}
