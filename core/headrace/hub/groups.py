"""The members of each group: the sessions that a send to the group reaches.

`membership_overrides.py` decides which groups a client belongs to; this is the index by group.
"""

from headrace.hub.session import Session


class Groups(dict[str, dict[Session, None]]):
    """The sessions in each group, the oldest first; a group without members is absent."""

    def members(self, group: str) -> list[str]:
        """Return the clients with a session in the group, each once."""
        return list(dict.fromkeys(session.client_id for session in self.get(group, ())))

    def set_groups(self, session: Session, groups: tuple[str, ...]) -> None:
        """Make the session a member of `groups`, and of no other group."""
        before, after = set(session.groups), set(groups)
        for group in session.groups:
            if group not in after:
                members = self[group]
                del members[session]
                if not members:
                    del self[group]
        for group in groups:
            if group not in before:
                self.setdefault(group, {})[session] = None
        session.groups = groups
