"""Acceptance rows of the wire -> the tests that stand for them, all over a real connection.

ROWS: every case that a line's controller has to be accepted by, late writes first. PITFALLS: what the OPC UA stack, or
servers in the field, do to a client that does not know it; where one does not apply, it says why. Checked by
test_acceptance_rows.py: every row has a test, and every test is there.
"""

from __future__ import annotations

LATER = "tests/hil/test_opcua_late.py"
LOOP, STREAM, LINK = "tests/hil/test_opcua_loop.py", "tests/hil/test_opcua_stream.py", "tests/hil/test_opcua_link.py"
CLOCK = "tests/hil/test_opcua_clock.py"
TYPED, RECORD = "tests/hil/test_opcua_typed.py", "tests/hil/test_opcua_record.py"
WIRE, SERVER = "tests/hil/test_wire_faults.py", "tests/hil_sim/test_server_wire.py"
STRANGER, MACHINE = "tests/independent/test_stranger_client.py", "tests/edge/test_connection_machine.py"
SECOND = "tests/independent/test_second_stack_analyser.py"
PUBLISH = "tests/edge/test_publish_opcua_door.py"

LATE = f"{LATER}::test_a_late_write_moves_nothing_where_the_plc_checks"
RENEWED = f"{LINK}::test_the_channel_is_renewed_under_load"
SPOILT = f"{STREAM}::test_a_spoilt_array_is_named_and_not_used"
COUNTED = f"{STREAM}::test_duplicated_skipped_and_restarted_counters"
FROZEN = f"{STREAM}::test_a_frozen_array_is_not_a_stalled_stream"
QUALITY = f"{STREAM}::test_quality_decides_not_the_number"
SWAPPED = f"{LINK}::test_a_swapped_server_certificate_is_refused_with_its_own_alarm"
NAMED = f"{LINK}::test_names_are_the_line_file_s_and_types_the_server_s"
ORDER = f"{LINK}::test_a_restart_with_another_namespace_order_changes_nothing"
LOST = f"{LOOP}::test_no_response_ends_the_connection_and_the_loop_holds"
BACKGROUND = f"{LINK}::test_connecting_never_holds_up_a_look"
TORN = f"{STREAM}::test_a_torn_read_is_made_good_or_not_used"
BAD = f"{LOOP}::test_bad_holds_and_is_shed_by_time"

ROWS: dict[str, tuple[str, ...]] = {
    "late write (a): a short watchdog sheds and refuses": (
        LATE, f"{SERVER}::test_an_open_write_in_a_cut_link_arrives_late_and_moves_nothing",
    ),
    "late write (b): a plain PLC takes it, the edge notices and adopts": (
        f"{LATER}::test_a_late_write_that_a_plain_plc_takes_is_noticed_and_adopted",
        f"{LATER}::test_a_setpoint_that_is_not_ours_is_noticed_adopted_and_corrected",
    ),
    "late write (c): the sequence and session check refuses": (
        LATE, f"{WIRE}::test_a_cut_connection_lets_nothing_late_move_the_plant",
    ),
    "muted server": (f"{LATER}::test_a_muted_server_does_what_it_heard_and_that_is_seen",),
    "refused write": (f"{LOOP}::test_a_refused_write_names_step_tag_and_code",),
    "ignored write": (f"{LOOP}::test_an_ignored_write_stops_the_moves",),
    "no response": (LOST,),
    "operator takes local in mid-move": (
        f"{LOOP}::test_an_operator_who_takes_local_in_mid_move_has_the_plant",
    ),
    "limits tightened while saturated": (
        f"{LOOP}::test_limits_that_are_tightened_bind_the_next_move",
        f"{LOOP}::test_a_clamped_setpoint_comes_back_as_what_was_applied",
    ),
    "PLC heartbeat stopped": (f"{LOOP}::test_a_plc_whose_heartbeat_stopped_is_not_trusted",),
    "frozen against stalled spectrum": (FROZEN,),
    "duplicated acquisition": (COUNTED,),
    "skipped acquisition": (COUNTED,),
    "NaN, Inf, short, empty, spiked spectrum": (SPOILT,),
    "shifted spectrum": (f"{STREAM}::test_a_shifted_spectrum_is_outside_what_the_model_knows",),
    "old and future timestamps": (
        f"{CLOCK}::test_an_analyser_whose_clock_is_wrong",
        f"{CLOCK}::test_a_plc_whose_clock_is_wrong_is_fresh_as_long_as_it_moves",
    ),
    "Bad and Uncertain: hold, then shed by time": (BAD, QUALITY),
    "restart with another namespace order": (
        ORDER, f"{TYPED}::test_the_loop_runs_on_a_stream_found_by_type",
        f"{SECOND}::test_another_order_of_namespaces_after_a_restart_is_learned_anew",
    ),
    "server certificate swapped": (SWAPPED, f"{SECOND}::test_a_swapped_server_certificate_is_refused_and_told"),
    "secure channel renewals (an hour of them: make soak)": (
        RENEWED, f"{SECOND}::test_the_secure_channel_is_renewed_without_losing_anything",
    ),
    "a stranger finds nothing open": (
        f"{STRANGER}::test_the_simulated_lines_server_is_closed_but_for_the_tags_of_each_role",
        f"{STRANGER}::test_the_boxs_own_server_is_closed",
        f"{PUBLISH}::test_only_trusted_certificates_known_people_and_encrypted_channels_come_in",
        f"{SERVER}::test_accounts_certificates_and_policies_are_enforced",
        f"{SERVER}::test_a_session_cannot_be_taken_over_from_another_channel",
    ),
    "the loop runs on a plain PLC and says what is missing": (
        f"{LOOP}::test_the_loop_runs_on_a_plain_plc_and_says_what_is_missing",
        f"{RECORD}::test_check_says_in_plain_words_which_protections_are_missing",
    ),
}

PITFALLS: dict[int, tuple[str, ...] | str] = {
    1: (LATE, f"{LATER}::test_a_late_write_that_a_plain_plc_takes_is_noticed_and_adopted"),
    2: (f"{LATER}::test_a_muted_server_does_what_it_heard_and_that_is_seen",),
    3: (LOST, f"{LOOP}::test_a_command_of_an_older_epoch_is_dropped"),
    4: (SWAPPED, f"{LINK}::test_wrong_password_and_untrusted_certificate_are_refusals"),
    5: (BACKGROUND, f"{MACHINE}::test_pauses_grow_to_the_cap_and_spread_by_name_and_never_by_chance"),
    6: (LOST, f"{LINK}::test_a_server_that_answers_while_nothing_moves_is_stale"),
    7: "no subscriptions: each cycle reads, and its answer is the state of the link",
    8: (ORDER, COUNTED),
    9: "no subscriptions; the session's own life is short (Endpoint.session_s)",
    10: (BAD, QUALITY),
    11: (QUALITY, f"{STREAM}::test_one_bad_or_lost_node_does_not_take_the_others_with_it"),
    12: (QUALITY, f"{STREAM}::test_one_bad_or_lost_node_does_not_take_the_others_with_it"),
    13: (FROZEN,),
    14: (TORN,),
    15: "no subscriptions, so no queue: what was skipped between two looks is told by the counter",
    16: "no subscriptions, so no handlers",
    17: (NAMED, f"{MACHINE}::test_a_value_goes_out_in_the_node_s_type_or_not_at_all"),
    18: (f"{LOOP}::test_a_clamped_setpoint_comes_back_as_what_was_applied",),
    19: (SWAPPED,),
    20: (f"{LINK}::test_certificates_are_told_thirty_days_before_they_end",),
    21: (f"{SERVER}::test_accounts_certificates_and_policies_are_enforced",),
    22: (RENEWED,),
    23: (f"{CLOCK}::test_a_plc_whose_clock_is_wrong_is_fresh_as_long_as_it_moves",),
    24: (ORDER,),
    25: (ORDER, f"{TYPED}::test_the_loop_runs_on_a_stream_found_by_type"),
    26: "vendors' types are never loaded: AxisInformation, Range and EUInformation are built in",
}
