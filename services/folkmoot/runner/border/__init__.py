"""The border: what comes out of a workspace is hostile bytes until it has come through here.

A library of its own: it knows the kernel, git and bare repositories, and nothing else of the runner (an import-linter
contract holds that). What is to be said of a candidate besides, and where bytes are kept, is handed in.

- `admission.Border.admit`: bundle in, `Admitted` or `Refusal` out; nothing is left of what was refused.
- `quarantine.unpacked`: a bundle's objects, read strictly in a repository that is thrown away.
- `change.examined`: what is changed, by the tree policy and within limits.
- `bundle`, `entries`, `tree`, `counting`: pure functions over bytes, for whoever else reads git's words.

Raised for what is wrong with the bytes: `verdict.TurnedBack`, with the reason. For what is wrong with us: GitFailed.
"""
