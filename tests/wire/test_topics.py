from __future__ import annotations

from headwater.wire.topics import BY_NAME, TOPICS, Cleanup, Direction


def test_every_topic_has_one_line() -> None:
    assert len(BY_NAME) == len(TOPICS) == 11


def test_each_owner_of_state_has_a_command_topic_of_its_own() -> None:
    commands = {topic.name: topic.owner for topic in TOPICS if topic.name.endswith(".commands")}
    assert commands == {
        "headwater.runs.commands": "conductor",
        "headwater.models.commands": "registry",
        "headwater.quota.commands": "scheduler",
        "headwater.gpus.commands": "gpu_pool",
    }
    assert all(BY_NAME[name].direction is Direction.INBOUND for name in commands)


def test_what_comes_in_is_an_input_log_and_never_compacted() -> None:
    assert all(topic.cleanup is Cleanup.DELETE for topic in TOPICS if topic.direction is Direction.INBOUND)


def test_an_event_over_the_bound_still_reaches_its_topic() -> None:
    assert all(topic.max_message_bytes > 1 << 20 for topic in TOPICS)
    assert BY_NAME["headwater.events"].max_message_bytes > 5 << 20
