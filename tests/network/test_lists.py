"""Which entries of the chain's lists have to change, from what the registry says and what the lists' events say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from market.chain.allow_lists import Change, Listed, Listing, ListName, changes, wanted_of

A, B, C = ("0x" + 20 * each for each in ("aa", "bb", "cc"))


def listed(**accounts: Listing) -> Listed:
    known = Listed()
    for account, listing in accounts.items():
        known.note(account, listing)
    return known


def nothing() -> dict[ListName, Listed]:
    return {name: Listed() for name in ListName}


def test_whoever_holds_a_role_sends_and_only_the_operator_and_its_governance_key_deploy() -> None:
    wanted = wanted_of([(A, "DSO"), (B, "OPERATOR"), (C, "ADMIN")], [])
    assert wanted[ListName.SENDERS] == {A, B, C}
    assert wanted[ListName.DEPLOYERS] == {B, C}


def test_owners_of_nanogrids_send_without_a_role() -> None:
    assert wanted_of([], [A])[ListName.SENDERS] == {A}


def test_what_is_missing_is_listed() -> None:
    due = list(changes(wanted_of([(A, "DSO")], []), nothing()))
    assert due == [Change(ListName.SENDERS, A, Listing.ENABLED)]


def test_who_is_registered_no_more_is_delisted_before_others_are_listed() -> None:
    known = nothing() | {ListName.SENDERS: listed(**{A: Listing.ENABLED})}
    due = list(changes(wanted_of([(B, "DSO")], []), known))
    assert due == [Change(ListName.SENDERS, A, Listing.NONE), Change(ListName.SENDERS, B, Listing.ENABLED)]


def test_admins_and_managers_of_a_list_stand_above_it() -> None:
    known = nothing() | {ListName.SENDERS: listed(**{A: Listing.ADMIN, B: Listing.MANAGER})}
    assert list(changes(wanted_of([], []), known)) == []
    assert list(changes(wanted_of([(A, "DSO"), (B, "ORACLE")], []), known)) == []


def test_who_was_delisted_before_can_be_listed_again() -> None:
    known = nothing() | {ListName.SENDERS: listed(**{A: Listing.NONE})}
    assert list(changes(wanted_of([(A, "DSO")], []), known)) == [Change(ListName.SENDERS, A, Listing.ENABLED)]


accounts = st.sampled_from([A, B, C])
listings = st.dictionaries(accounts, st.sampled_from(Listing))
roles = st.lists(st.tuples(accounts, st.sampled_from(["DSO", "OPERATOR", "ADMIN", "PROSUMER"])))


@given(roles, st.lists(accounts), listings, listings)
def test_after_the_changes_there_is_nothing_more_to_change(
    holdings: list[tuple[str, str]], owners: list[str], senders: dict[str, Listing], deployers: dict[str, Listing]
) -> None:
    wanted = wanted_of(holdings, owners)
    known = {ListName.SENDERS: listed(**senders), ListName.DEPLOYERS: listed(**deployers)}
    for change in list(changes(wanted, known)):
        known[change.list].note(change.account, change.listing)
    assert list(changes(wanted, known)) == []
    for name in ListName:
        enabled = {account for account, listing in known[name].listings.items() if listing is Listing.ENABLED}
        above = {account for account, listing in known[name].listings.items() if listing >= Listing.ADMIN}
        assert enabled == wanted[name] - above
