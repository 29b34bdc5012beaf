"""Councils and deliberations: who owns a task, what comes next, what the evidence says."""
