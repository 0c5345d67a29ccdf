"""What goes wrong in a way a caller may want to tell apart."""


class ArgumentError(ValueError):
    """An argument can't be.

    Args:
        name: of the argument.
        said: its value, and what is accepted.
    """

    def __init__(self, name: str, said: str):
        super().__init__(f"{name}={said}" if not said.startswith("has ") else f"{name} {said}")
        self.name = name


class BenchError(ValueError):
    """A benchmark run can't be made, resumed or read."""


class CheckpointError(ValueError):
    """A checkpoint is missing, truncated, or in a format that isn't read."""


class NonFiniteLatentsError(RuntimeError):
    """Denoising gave NaN or infinite latents, so that nothing can be said of the picture; none is returned."""


class PairsError(ValueError):
    """A pair run can't be made, resumed or read."""


class PolicyError(ValueError):
    """A policy can't be read or isn't one."""


class PolicyViolation(ValueError):
    """A prompt asks for what is never generated; nothing was computed."""


class TaskError(ValueError):
    """A benchmark task can't be read, or its prompts, policy or file aren't those that it pins."""
