"""Lag as it is felt: missed probes count, and what lies around a scan is kept apart."""

import pytest

from bnml.app.health import AROUND_SCAN_S, LoopLag, cpu_s, resident_bytes
from bnml.core.clock import NS_PER_S, ManualClock


def test_a_stall_counts_for_every_probe_that_it_swallowed():
    lag = LoopLag(ManualClock(), lambda: 0)
    lag.take(35.0, NS_PER_S)
    assert lag.lately.longest_ms == lag.lately.last_ms == pytest.approx(35)
    assert lag.lately.quantile_ms(0) == pytest.approx(5)
    assert lag.lately.quantile_ms(0.5) == pytest.approx(20)


def test_only_probes_near_a_scan_are_filed_around_it():
    scans = 0
    lag = LoopLag(ManualClock(), lambda: scans)
    for tenth in range(30):
        lag.take(1.0, tenth * NS_PER_S // 10)
    assert lag.around_scans.longest_ms == 0
    scans = 1
    lag.take(9.0, 3 * NS_PER_S)
    lag.take(2.0, 3 * NS_PER_S + NS_PER_S // 2)
    lag.take(7.0, 3 * NS_PER_S + int((AROUND_SCAN_S + 0.1) * NS_PER_S))
    assert lag.around_scans.longest_ms == 9
    assert lag.around_scans.quantile_ms(0) == 1  # the second before counts too
    assert lag.around_scans.last_ms == 2
    assert lag.lately.last_ms == 7


def test_quantiles_are_of_what_is_kept():
    lag = LoopLag(ManualClock(), lambda: 0)
    for _ in range(7000):
        lag.take(1.0, 0)
    lag.take(4.0, 0)
    assert lag.lately.quantile_ms(0.99) == 1
    assert lag.lately.quantile_ms(1) == lag.lately.longest_ms == 4


def test_the_process_knows_what_it_uses():
    before_s = cpu_s()
    held = bytearray(64 * 1024 * 1024)
    held[::4096] = b"\1" * (len(held) // 4096)
    assert cpu_s() > before_s
    assert resident_bytes() > 64 * 1024 * 1024
