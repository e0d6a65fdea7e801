"""Thunderbird, without a screen, driven by Marionette: reads, flags, tags, searches, moves, deletes, sends, hears of new
messages while idle, works offline, and afterwards has what others did meanwhile, as they have what it did.

Arguments: CA file, a new folder for its profile, ports of IMAPS and submission, how many messages INBOX holds.
"""

import imaplib
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import time

from marionette_driver.marionette import Marionette

ca, profile, imaps, submission, total = sys.argv[1], pathlib.Path(sys.argv[2]), *map(int, sys.argv[3:6])

PREFS = {
    "mail.accountmanager.accounts": "account1",
    "mail.accountmanager.defaultaccount": "account1",
    "mail.account.account1.server": "server1",
    "mail.account.account1.identities": "id1",
    "mail.identity.id1.fullName": "Me",
    "mail.identity.id1.useremail": "me@163.test",
    "mail.identity.id1.smtpServer": "smtp1",
    "mail.identity.id1.valid": True,
    "mail.identity.id1.fcc_folder_picker_mode": "0",
    "mail.server.server1.type": "imap",
    "mail.server.server1.hostname": "localhost",
    "mail.server.server1.port": imaps,
    "mail.server.server1.socketType": 3,
    "mail.server.server1.authMethod": 3,
    "mail.server.server1.userName": "me@163.test",
    "mail.server.server1.name": "me@163.test",
    "mail.server.server1.check_new_mail": False,
    "mail.server.server1.login_at_startup": False,
    "mail.smtpservers": "smtp1",
    "mail.smtp.defaultserver": "smtp1",
    "mail.smtpserver.smtp1.hostname": "localhost",
    "mail.smtpserver.smtp1.port": submission,
    "mail.smtpserver.smtp1.try_ssl": 2,
    "mail.smtpserver.smtp1.authMethod": 3,
    "mail.smtpserver.smtp1.username": "me@163.test",
    # Nothing but mail, and that on this machine only.
    "network.proxy.type": 1,
    "network.proxy.http": "127.0.0.1",
    "network.proxy.http_port": 9,
    "network.proxy.ssl": "127.0.0.1",
    "network.proxy.ssl_port": 9,
    "app.update.disabledForTesting": True,
    "app.donation.eoy.version.viewed": 999,
    "datareporting.policy.dataSubmissionEnabled": False,
    "datareporting.policy.bypassNotification": True,
    "extensions.update.enabled": False,
    "mail.provider.suppress_dialog_on_startup": True,
    "mail.spotlight.firstRunDone": True,
    "mail.winsearch.firstRunDone": True,
    "mailnews.start_page.enabled": False,
    "mail.shell.checkDefaultClient": False,
    "mail.warn_on_send_accel_key": False,
    "mail.offline_msgs_to_save": True,
}

# What every script below may use. A promise that fails, or takes longer than the script may, fails the step.
TOOLS = """
const [...given] = arguments;
const done = given.pop();
const { MailServices } = ChromeUtils.importESModule("resource:///modules/MailServices.sys.mjs");
const server = () => MailServices.accounts.accounts[0].incomingServer;
const inbox = () => server().rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Inbox);
const child = name => server().rootFolder.getChildNamed(name);
const pause = ms => new Promise(go => setTimeout(go, ms));
const until = async (what, is) => { for (let n = 0; n < 300; n++) { if (await is()) return; await pause(100); }
  throw new Error("never " + what); };
const url = start => new Promise((good, bad) => start({ QueryInterface: ChromeUtils.generateQI(["nsIUrlListener"]),
  OnStartRunningUrl() {}, OnStopRunningUrl: (_, code) => code ? bad(new Error("code " + code.toString(16))) : good() }));
const refresh = folder => url(listener => folder.QueryInterface(Ci.nsIMsgImapMailFolder)
  .updateFolderWithListener(null, listener));
const all = folder => [...folder.messages];
const message = (folder, id) => all(folder).find(header => header.messageId == id);
const source = header => new Promise((good, bad) => { const parts = [];
  MailServices.messageServiceFromURI(header.folder.getUriForMsg(header)).streamMessage(
    header.folder.getUriForMsg(header), { QueryInterface: ChromeUtils.generateQI(["nsIStreamListener"]), onStartRequest() {},
    onDataAvailable(_, stream, offset, count) { const input = Cc["@mozilla.org/scriptableinputstream;1"]
      .createInstance(Ci.nsIScriptableInputStream); input.init(stream); parts.push(input.readBytes(count)); },
    onStopRequest: (_, code) => code ? bad(new Error("code " + code.toString(16))) : good(parts.join("")) },
    null, null, false, "", false); });
const found = (folder, scope, attribute, words) => new Promise(good => { const hits = [];
  const session = Cc["@mozilla.org/messenger/searchSession;1"].createInstance(Ci.nsIMsgSearchSession);
  session.addScopeTerm(scope, folder);
  const term = session.createTerm(), value = term.value;
  value.attrib = attribute; value.str = words; term.value = value;
  term.attrib = attribute; term.op = Ci.nsMsgSearchOp.Contains;
  session.appendTerm(term);
  session.registerListener({ onSearchHit: header => hits.push(header.messageId), onNewSearch() {},
    onSearchDone: () => good(hits) }, Ci.nsIMsgSearchSession.allNotifications);
  session.search(null); });
(async () => { %s })().then(value => done({ value }), error => done({ error: `${error}` }));
"""


def wanted(name, got, expected):
    if got != expected:
        raise SystemExit(f"{name}: {got!r} instead of {expected!r}")
    print(f"{name}: {got!r}")


class Thunderbird:
    def __init__(self):
        profile.mkdir(parents=True)
        lines = (f'user_pref("{key}", {value!r});\n' for key, value in PREFS.items())
        text = "".join(lines).replace("True);", "true);").replace("False);", "false);")
        (profile / "user.js").write_text(re.sub(r"'([^']*)'\);", r'"\1");', text))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with (profile / "user.js").open("a") as prefs:
            prefs.write(f'user_pref("marionette.port", {port});\n')
        self.process = subprocess.Popen(
            ["thunderbird", "--headless", "--marionette", "--remote-allow-system-access", "--no-remote", "--profile", profile],
            stderr=(profile / "stderr").open("w"),
        )
        self.driver = Marionette("127.0.0.1", port=port, socket_timeout=60, startup_timeout=60)
        self.driver.start_session(timeout=60)
        self.driver.set_context("chrome")
        self.driver.timeout.script = 40

    def do(self, body, *given):
        answer = self.driver.execute_async_script(TOOLS % body, script_args=given, sandbox="system")
        if "error" in answer:
            raise SystemExit(f"{answer['error']} in: {body.strip()}")
        return answer["value"]

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def other_client():
    """Another client of the same user, in INBOX."""
    box = imaplib.IMAP4_SSL("localhost", imaps, ssl_context=ssl.create_default_context(cafile=ca))
    box.login("me@163.test", "postroad")
    box.select("INBOX")
    return box


def on_server(query, mailbox="INBOX", count=1):
    """Another client finds so many such messages, soon."""
    found = None
    for _ in range(100):
        with other_client() as box:
            box.select(mailbox, readonly=True)
            found = box.search(None, query)[1][0].split()
        if len(found) == count:
            break
        time.sleep(0.1)
    wanted(f"SEARCH {query} in {mailbox}", len(found), count)


def walk(bird):
    der = "".join(line for line in pathlib.Path(ca).read_text().splitlines() if "-----" not in line)
    bird.do(
        """Cc["@mozilla.org/security/x509certdb;1"].getService(Ci.nsIX509CertDB).addCertFromBase64(given[0], "C,,");
        for (const kind of ["imap", "smtp"]) {
          const login = Cc["@mozilla.org/login-manager/loginInfo;1"].createInstance(Ci.nsILoginInfo);
          login.init(`${kind}://localhost`, null, `${kind}://localhost`, "me@163.test", "postroad", "", "");
          await Services.logins.addLoginAsync(login);
        }""",
        der,
    )
    count = bird.do(
        """await until("logged in", async () => { try { server().performExpand(null); } catch {} return inbox(); });
        await refresh(inbox());
        await until("counted", () => inbox().getTotalMessages(false) == given[0]);
        return inbox().getTotalMessages(false);""",
        total,
    )
    wanted("messages in INBOX", count, total)
    text = bird.do('return await source(message(inbox(), "7@163.test"));')
    wanted("a message is read", "Body 7" in text, True)
    subject = bird.do('return message(inbox(), "20@163.test").mime2DecodedSubject;')
    wanted("a subject is decoded", subject, "Gr\u00fc\u00dfe")

    bird.do(
        """inbox().markMessagesRead([message(inbox(), "7@163.test")], true);
        inbox().markMessagesFlagged([message(inbox(), "8@163.test")], true);
        inbox().addKeywordsToMessages([message(inbox(), "8@163.test")], "$label1");"""
    )
    on_server("SEEN HEADER Message-ID 7@163.test")
    on_server("FLAGGED KEYWORD $label1 HEADER Message-ID 8@163.test")
    online = "Ci.nsMsgSearchScope.onlineMail"
    subject, body = "Ci.nsMsgSearchAttrib.Subject", "Ci.nsMsgSearchAttrib.Body"
    hits = bird.do(f'return await found(inbox(), {online}, {subject}, "message 9");')
    wanted("the server finds a subject", hits, ["9@163.test"])
    hits = bird.do(f'return await found(inbox(), {online}, {body}, "Body 11");')
    wanted("the server finds a text", hits, ["11@163.test"])

    bird.do(
        """server().rootFolder.createSubfolder("Kept", null);
        await until("created", () => child("Kept"));"""
    )
    moved = bird.do(
        """MailServices.copy.copyMessages(inbox(), [message(inbox(), "9@163.test")], child("Kept"), true, null, null, false);
        await until("moved", () => { child("Kept").updateFolder(null);
          return message(child("Kept"), "9@163.test") && !message(inbox(), "9@163.test"); });
        return all(child("Kept")).length;"""
    )
    wanted("a message is moved", moved, 1)
    deleted = bird.do(
        """inbox().deleteMessages([message(inbox(), "10@163.test")], null, false, true, null, false);
        const trash = () => server().rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.Trash);
        await until("deleted", () => { trash().updateFolder(null); return message(trash(), "10@163.test"); });
        return trash().name;"""
    )
    wanted("a message is deleted, to", deleted, "Trash")

    sent = bird.do(
        """const fields = Cc["@mozilla.org/messengercompose/composefields;1"].createInstance(Ci.nsIMsgCompFields);
        const identity = MailServices.accounts.accounts[0].defaultIdentity;
        Object.assign(fields, { from: identity.email, to: "me@163.test", subject: "by Thunderbird", body: "Hello.\\r\\n",
          fcc: server().rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.SentMail).URI });
        const send = Cc["@mozilla.org/messengercompose/send;1"].createInstance(Ci.nsIMsgSend);
        await new Promise((good, bad) => send.createAndSendMessage(null, identity, "account1", fields, false, false,
          Ci.nsIMsgSend.nsMsgDeliverNow, null, "text/plain", "Hello.\\r\\n", null, null, { QueryInterface:
          ChromeUtils.generateQI(["nsIMsgSendListener", "nsIMsgCopyServiceListener"]), onStartSending() {},
          onSendProgress() {}, onStatus() {}, onGetDraftFolderURI() {}, onSendNotPerformed() {}, onTransportSecurityError() {},
          onStopSending: (_, code) => code && bad(new Error("code " + code.toString(16))), onStartCopy() {}, onProgress() {},
          setMessageKey() {}, getMessageId: () => null,
          onStopCopy: code => code ? bad(new Error("copy " + code.toString(16))) : good() }, "", "", Ci.nsIMsgCompType.New));
        const subjects = folder => all(folder).map(header => header.mime2DecodedSubject);
        await until("arrived", () => { inbox().updateFolder(null); return subjects(inbox()).includes("by Thunderbird"); });
        const kept = server().rootFolder.getFolderWithFlags(Ci.nsMsgFolderFlags.SentMail);
        await until("kept", () => { kept.updateFolder(null); return subjects(kept).includes("by Thunderbird"); });
        return kept.name;"""
    )
    wanted("a message is sent, with a copy in", sent, "Sent")

    with other_client() as box:
        box.append("INBOX", None, None, b"Subject: while idle\r\nMessage-ID: <idle@163.test>\r\n\r\nhere\r\n")
    bird.do('await until("told", () => message(inbox(), "idle@163.test"));')
    print("notified of a new message while idle")

    offline = bird.do(
        """await url(listener => inbox().downloadAllForOffline(listener, null));
        await until("kept", () => all(inbox()).every(header => inbox().hasMsgOffline(header.messageKey)));
        Services.io.offline = true;
        const text = await source(message(inbox(), "12@163.test"));
        inbox().markMessagesFlagged([message(inbox(), "12@163.test")], true);
        inbox().markMessagesRead([message(inbox(), "15@163.test")], true);
        inbox().deleteMessages([message(inbox(), "13@163.test")], null, false, true, null, false);
        MailServices.copy.copyMessages(inbox(), [message(inbox(), "14@163.test")], child("Kept"), true, null, null, false);
        return text.includes("Body 12");"""
    )
    wanted("a message is read offline", offline, True)
    with other_client() as box:
        number = lambda id: box.search(None, f"HEADER Message-ID {id}@163.test")[1][0].decode()
        box.store(number(16), "+FLAGS", "(\\Flagged)")
        box.store(number(17), "+FLAGS", "(\\Deleted)")
        box.expunge()
        box.append("INBOX", None, None, b"Subject: meanwhile\r\nMessage-ID: <meanwhile@163.test>\r\n\r\nhere\r\n")
    bird.do(
        """const manager = Cc["@mozilla.org/messenger/offline-manager;1"].getService(Ci.nsIMsgOfflineManager);
        Services.io.offline = false;
        manager.goOnline(false, true, null);
        await until("played back", () => !inbox().getFlag(Ci.nsMsgFolderFlags.OfflineEvents));
        await until("told of a message", () => { inbox().updateFolder(null); return message(inbox(), "meanwhile@163.test"); });
        await until("told of a flag", () => message(inbox(), "16@163.test").isFlagged);
        await until("told of a deletion", () => !message(inbox(), "17@163.test"));"""
    )
    print("what others did meanwhile is here")
    on_server("FLAGGED HEADER Message-ID 12@163.test")
    on_server("SEEN HEADER Message-ID 15@163.test")
    on_server("HEADER Message-ID 13@163.test", count=0)
    on_server("HEADER Message-ID 13@163.test", mailbox="Trash")
    on_server("HEADER Message-ID 14@163.test", count=0)
    on_server("HEADER Message-ID 14@163.test", mailbox="Kept")


bird = Thunderbird()
try:
    walk(bird)
finally:
    bird.end()
