"""What goes wrong in a way a caller may want to tell apart."""


class ArgumentError(ValueError):
    """An argument cannot be.

    Args:
        name: of the argument.
        said: its value, and what is accepted.
    """

    def __init__(self, name: str, said: str):
        super().__init__(f"{name}={said}" if not said.startswith("has ") else f"{name} {said}")
        self.name = name


class BenchError(ValueError):
    """A benchmark run cannot be made, resumed or read."""


class CheckpointError(ValueError):
    """A checkpoint is missing, truncated, or in a format that is not read."""


class NonFiniteLatentsError(RuntimeError):
    """Denoising gave NaN or infinite latents, so that nothing can be said of the picture; none is returned."""


class PairsError(ValueError):
    """A pair run cannot be made, resumed or read."""


class PolicyError(ValueError):
    """A policy cannot be read or is not one."""


class PolicyViolation(ValueError):
    """A prompt asks for what is never generated; nothing was computed."""


class TaskError(ValueError):
    """A benchmark task cannot be read, or its prompts, policy or file are not those that it pins."""
