"""What holds for every test: Hypothesis counts examples, not milliseconds, for a machine may be busy."""

from hypothesis import HealthCheck, settings

settings.register_profile("serai", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("serai")
