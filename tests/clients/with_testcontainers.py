"""testcontainers' module for Mailpit with Postroad's image in its place. Argument: the image."""

import json
import smtplib
import ssl
import sys
import urllib.request
from email.message import EmailMessage

from testcontainers.community.mailpit import MailpitContainer, MailpitUser


def container(user=None, **options):
    """Another image and entry point; all else is as the module has it."""
    return MailpitContainer(sys.argv[1], **options).with_kwargs(entrypoint="/mailpit", user=user)


def trust(mailpit):
    context = ssl.create_default_context(cadata=mailpit.tls_cert.decode())
    context.check_hostname = False
    return context


def get(mailpit, path):
    with urllib.request.urlopen(mailpit.get_base_api_url() + path, timeout=20) as answer:
        return json.load(answer)


def smtp(mailpit):
    return smtplib.SMTP(mailpit.get_container_host_ip(), mailpit.get_exposed_smtp_port())


# Any name with any password, as the module's first example has it.
with container() as mailpit, smtp(mailpit) as client:
    assert client.login("any", "auth")[0] == 235
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "app@example.com", "ann@example.org", "Your code"
    message.set_content("Your code is 246810.\n")
    assert client.send_message(message) == {}
    # A lone LF is taken, too.
    assert client.sendmail("app@example.com", "ben@example.org", b"Subject: lone\n\nline\n") == {}
    found = get(mailpit, "/api/v1/search?query=to:ann@example.org")
    assert found["messages_count"] == 1 and found["messages"][0]["Username"] == "any", found
    assert get(mailpit, f"/api/v1/message/{found['messages'][0]['ID']}")["Codes"] == ["246810"]
    assert get(mailpit, "/api/v1/messages")["total"] == 2
    out, err = (text.decode() for text in mailpit.get_logs())
    assert "accessible via http://localhost:8025/" in out, out
    # The module's certificate can be read by root only, as whom Postroad's image does not run.
    assert "STARTTLS is not offered" in err, err

with container(user="0") as mailpit, smtp(mailpit) as client:
    client.starttls(context=trust(mailpit))
    assert client.login("any", "auth")[0] == 235

# Declared users only.
with container(users=[MailpitUser("jane", "secret"), MailpitUser("ron", "pass2")]) as mailpit:
    with smtp(mailpit) as client:
        try:
            client.login("jane", "pass2")
            raise AssertionError("the wrong password was accepted")
        except smtplib.SMTPAuthenticationError as error:
            assert error.smtp_code == 535, error
    with smtp(mailpit) as client:
        assert client.login("ron", "pass2")[0] == 235
        client.sendmail("ron@example.com", "ann@example.org", "Subject: by ron\r\n\r\nx\r\n")
    assert get(mailpit, "/api/v1/messages")["messages"][0]["Subject"] == "by ron"

# TLS from the start, as the module's second example has it.
with container(user="0", users=[MailpitUser("jane", "secret")], require_tls=True) as mailpit:
    at = (mailpit.get_container_host_ip(), mailpit.get_exposed_smtp_port())
    with smtplib.SMTP_SSL(*at, context=trust(mailpit)) as client:
        assert client.login("jane", "secret")[0] == 235
        client.sendmail("jane@example.com", "ann@example.org", "Subject: over TLS\r\n\r\nx\r\n")
    assert get(mailpit, "/api/v1/messages")["messages"][0]["Subject"] == "over TLS"
