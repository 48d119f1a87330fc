"""The page on which a redaction policy is tried out, in a real browser."""

import pytest

from redaction.models import RedactionList, RedactionPolicy

TEXT = (
    "Dear Ms Okafor,\nplease write to jane.doe@example.com, or call +44 20 7946 0958.\n"
    "<b>Card</b>: 4111 1111 1111 1111, for Project Falcon. Our own address is help@acme.example."
)


@pytest.fixture
def policy(visitor):
    row = RedactionPolicy.objects.create(name="support", rules={"PHONE_NUMBER": "off", "CREDIT_CARD": "mask"})
    RedactionList.objects.create(
        policy=row, allow=["help@acme.example"], deny=["Project Falcon"], patterns={"EMPLOYEE": r"\bE\d{6}\b"}
    )
    return row


def test_a_policy_is_tried_out_and_changed(visitor, policy):
    page = visitor.page
    visitor.open(f"/admin/tollhouse_redaction/redactionpolicy/{policy.pk}/change/", "policy")
    visitor.go("text=Try it out")
    visitor.look("policy-try")
    page.fill("#id_text", TEXT)
    page.select_option("#id_part", "prompts")
    visitor.go("button:has-text('Try it out')")
    page.wait_for_selector("#result")
    visitor.look("policy-tried")
    entities = [mark.inner_text() for mark in page.locator(".th-found mark sub").all()]
    assert entities == ["PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "DENIED"]
    sent, kept = (page.locator(".th-card .th-found").nth(n).inner_text() for n in (1, 2))
    assert "<b>Card</b>: <CREDIT_CARD>, for [DENIED_1]. Our own address is help@acme.example." in sent
    assert "+44 20 7946 0958" in sent and "+44 20 7946 0958" not in kept and "[PHONE_NUMBER_1]" in kept
    visitor.open(f"/admin/tollhouse_redaction/redactionlist/{RedactionList.objects.get().pk}/change/", "list")
    visitor.open("/admin/tollhouse_redaction/redactionlist/", "lists")
