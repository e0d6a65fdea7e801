"""Every call and fixture of pytest-mailpit, but HTML checks: run by tests/clients/http."""

import smtplib
from email.message import EmailMessage

import pytest
from pytest_mailpit import ChaosTriggers, MailpitAPIError
from pytest_mailpit.search import build_query


def send(server, to, subject, **extra):
    message = EmailMessage()
    message["From"] = "Shop <shop@163.test>"
    message["To"] = to
    message["Subject"] = subject
    message["List-Unsubscribe"] = "<https://163.test/u>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content("Your code is 135790.\nhttps://163.test/confirm?token=1\n")
    message.add_alternative('<p>Your code is 135790.</p><a href="https://163.test/confirm?token=1">go</a>', subtype="html")
    message.add_attachment(b"a,b\n", maintype="text", subtype="csv", filename="table.csv")
    with smtplib.SMTP(*server) as smtp:
        if extra.get("login"):
            smtp.login(*extra["login"])
        smtp.send_message(message)


def test_server(mailpit):
    assert mailpit.is_ready()
    assert mailpit.server_time().tzinfo is not None
    assert mailpit.info().version.startswith("v1.")


def test_inbox(mailpit, mailpit_inbox, mailpit_smtp):
    mailpit_inbox.assert_no_message(within=0.2)
    send(mailpit_smtp, mailpit_inbox.address, "Welcome")
    message = mailpit_inbox.wait_for_message(subject="Welcome")
    assert message.code() == "135790"
    assert message.link() == "https://163.test/confirm?token=1"
    assert message.unsubscribe_link(one_click=True) == "https://163.test/u"
    assert mailpit.get_attachment(message.attachment("table.csv")) == b"a,b\n"
    assert len(mailpit_inbox.messages()) == 1
    send(mailpit_smtp, mailpit_inbox.address, "Second")
    assert len(mailpit_inbox.wait_for_messages(2)) == 2
    mailpit_inbox.clear()
    assert mailpit_inbox.messages() == []


def test_messages(mailpit, mailpit_inbox, mailpit_smtp):
    address = mailpit_inbox.address
    send(mailpit_smtp, address, "two words")
    found = mailpit.search(build_query(addressed=address, subject="two words", sender="shop@163.test"))
    assert found.messages_count == 1
    summary = found.messages[0]
    assert not summary.read and summary.attachments == 1
    assert [one.id for one in mailpit.search_all(build_query(to=address))] == [summary.id]
    assert mailpit.messages(limit=1).messages[0].id == summary.id
    assert mailpit.get_headers(summary.id)["Subject"] == ["two words"]
    assert b"Subject: two words\r\n" in mailpit.get_raw(summary.id)
    assert mailpit.get_message(summary.id).sender.address == "shop@163.test"
    assert mailpit.get_part(summary.id, mailpit.get_message().attachments[0].part_id) == b"a,b\n"
    assert mailpit.check_links(summary.id).errors == 0
    assert mailpit.check_html(summary.id).nodes == 2
    mailpit.mark_read([summary.id], read=False)
    assert not mailpit.search(build_query(to=address)).messages[0].read
    mailpit.set_tags([summary.id], ["kept", "a test"])
    assert mailpit.search(build_query(tag="a test")).messages_count == 1
    mailpit.delete_messages([summary.id])
    mailpit.delete_search(build_query(to=address))
    assert mailpit.search(build_query(to=address)).messages_count == 0
    with pytest.raises(MailpitAPIError):
        mailpit.get_message(summary.id)
    with pytest.raises(MailpitAPIError):
        mailpit.check_html(summary.id)


def test_chaos(mailpit, mailpit_chaos, mailpit_inbox, mailpit_smtp):
    mailpit_chaos.reject_recipients(550)
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        send(mailpit_smtp, mailpit_inbox.address, "refused")
    mailpit_chaos.reset()
    mailpit_chaos.reject_senders(451)
    with pytest.raises(smtplib.SMTPSenderRefused):
        send(mailpit_smtp, mailpit_inbox.address, "refused")
    mailpit_chaos.reset()
    mailpit_chaos.reject_authentication(535)
    with pytest.raises(smtplib.SMTPAuthenticationError, match="Chaos authentication error"):
        send(mailpit_smtp, mailpit_inbox.address, "refused", login=("me@163.test", "postroad"))
    mailpit_chaos.reset()
    assert mailpit.chaos() == ChaosTriggers()
    send(mailpit_smtp, mailpit_inbox.address, "accepted", login=("me@163.test", "postroad"))
    mailpit_inbox.wait_for_message(subject="accepted")


def test_delete_all(mailpit, mailpit_inbox, mailpit_smtp):
    send(mailpit_smtp, mailpit_inbox.address, "gone")
    mailpit.delete_all()
    assert mailpit.messages().total == 0
