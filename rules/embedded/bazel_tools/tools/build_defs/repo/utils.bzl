"""Helpers for WORKSPACE files."""

def maybe(repo_rule, name, **kwargs):
    """Declares a repository unless one of that name is declared already.

    Args:
      repo_rule: a repository rule.
      name: the repository's name.
      **kwargs: passed on to repo_rule.
    """
    if name not in native.existing_rules():
        repo_rule(name = name, **kwargs)
