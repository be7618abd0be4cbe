"""What can go wrong when an agent is built, trained, judged or asked.

AgentError
├── SchemaError     the policy or rule was made for another plant, or names controls the plant lacks
├── BundleError     the bundle's files are missing, changed or malformed
├── TrainingError   the plant cannot be learned on, or learning went wrong (NaN, no costs, no controls)
├── NotExactError   the plant is of no kind that can be solved exactly
└── TooLargeError   it is of such a kind, but has too many states
"""

from __future__ import annotations


class AgentError(Exception):
    """Root of everything this package raises on purpose; the message says what was expected, found and to do."""


class SchemaError(AgentError):
    """A policy or rule does not fit the plant it was asked to act on."""


class BundleError(AgentError):
    """A policy bundle cannot be trusted: a file is missing, changed or malformed."""


class TrainingError(AgentError):
    """There is nothing to learn, or what was learned is not a number."""


class NotExactError(AgentError):
    """The plant is of no kind that can be solved exactly; the message says which thing is why."""


class TooLargeError(AgentError):
    """The plant is of a kind that can be solved, but with too many states."""
