"""The log: append with a fence, read, follow, work queues, artifacts. `port` says what; `nats` and `memory` do it."""
