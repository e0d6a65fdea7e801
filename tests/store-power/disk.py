"""What a disk may hold after a power cut: a model that replays a record of `record.c`.

A file has two contents. `cache` is what a process reads: all that was written. `stable` is what the disk holds for sure:
what was written before the begin of a sync that has ended well. Between them lie the pending changes, by blocks of 4 KiB,
each with the content that its block had after the write: a disk writes blocks in any order, and a block that is written
again may be on it in any of its versions. A sync that failed leaves its blocks clean and not on the disk, as on Linux: a
later sync writes only what was written after. Names are changes of their folder, with the same rules.
"""

import json
import os
import struct

BLOCK = 4096
SECTOR = 512
HEAD = struct.Struct("=ccxxIqQII")
ERROR = struct.Struct("=h")
FOLDER = "folder"
#: Files that are no part of the promise: -shm is rebuilt, and -reserve only takes room.
LOST = ("-shm", "-reserve")


class Record:
    """One entry of a record."""

    __slots__ = ("kind", "flags", "error", "handle", "offset", "data", "run")

    def text(self):
        return self.data.decode("utf-8", "replace")


def read_log(path, run):
    """The entries of one process, and where the last whole one ends."""
    with open(path, "rb") as file:
        log = file.read()
    entries, at = [], 0
    while at + HEAD.size <= len(log):
        entry = Record()
        kind, flags, entry.handle, entry.offset, _, length, _ = HEAD.unpack_from(log, at)
        if len(log) < at + HEAD.size + length:
            break
        entry.kind, entry.flags, entry.run = kind.decode(), flags[0], run
        (entry.error,) = ERROR.unpack_from(log, at + 2)
        entry.data = log[at + HEAD.size : at + HEAD.size + length]
        entries.append(entry)
        at += HEAD.size + length
    return entries, at


def append_entry(path, kind, data=b"", offset=0):
    """Adds what the recorder could not write any more before its process was killed."""
    with open(path, "ab") as log:
        log.write(HEAD.pack(kind.encode(), b"\0", 0, offset, 0, len(data), 0) + data)


class File:
    """The contents of one file, under whatever name."""

    __slots__ = ("cache", "stable", "pending")

    def __init__(self):
        self.cache, self.stable = bytearray(), bytearray()
        #: (sequence, block, content) of a write, or (sequence, None, length) of a cut.
        self.pending = []

    def write(self, sequence, start, data):
        end = start + len(data)
        if len(self.cache) < start:
            # A hole reads as zeros; its blocks are not written.
            self.cache.extend(bytes(start - len(self.cache)))
        self.cache[start:end] = data
        for block in range(start // BLOCK, (end + BLOCK - 1) // BLOCK):
            content = bytes(self.cache[block * BLOCK : (block + 1) * BLOCK])
            self.pending.append((sequence, block, content))

    def cut(self, sequence, length):
        self.resize(self.cache, length)
        self.pending.append((sequence, None, length))

    def synced(self, before, error):
        """What was written before is on the disk, or, if the sync failed, will never be."""
        rest = []
        for change in self.pending:
            if before <= change[0]:
                rest.append(change)
            elif not error:
                self.apply(self.stable, change)
        self.pending = rest

    @staticmethod
    def resize(content, length):
        if length < len(content):
            del content[length:]
        else:
            content.extend(bytes(length - len(content)))

    def apply(self, content, change):
        _, block, value = change
        if block is None:
            self.resize(content, value)
            return
        start = block * BLOCK
        if len(content) < start:
            content.extend(bytes(start - len(content)))
        content[start : start + len(value)] = value

    def image(self, path, dice, share, torn):
        """Writes what a disk may hold of it. `share` of the pending blocks are on it, in one of their versions."""
        versions, cuts = {}, []
        for change in self.pending:
            if change[1] is None:
                cuts.append(change[0])
            else:
                versions.setdefault(change[1], []).append(change)
        chosen, tears = [], []
        for block, changes in versions.items():
            if share < 1 and share <= dice.random():
                kept = 0
            else:
                kept = len(changes) if share == 1 or dice.random() < 0.5 else dice.randint(1, len(changes))
            chosen.extend(changes[:kept])
            if kept < len(changes) and dice.random() < torn:
                tears.append((changes[kept], dice.randint(1, BLOCK // SECTOR - 1) * SECTOR))
        # Cuts reach the disk in their order.
        kept = len(cuts) if share == 1 else dice.randint(0, len(cuts)) if 0 < share else 0
        chosen.extend(change for change in self.pending if change[1] is None and change[0] in cuts[:kept])
        chosen.sort(key=lambda change: change[0])
        with open(path, "wb") as file:
            file.write(self.stable)
            for _, block, value in chosen:
                if block is None:
                    file.truncate(value)
                else:
                    file.seek(block * BLOCK)
                    file.write(value)
            for (_, block, value), length in tears:
                file.seek(block * BLOCK)
                file.write(value[:length])


class Disk:
    """A folder, as the record has it so far."""

    def __init__(self, ignored=None):
        self.sequence = 0
        self.names, self.stable_names = {}, {}
        self.pending_names = {"": []}
        self.handles, self.syncs = {}, {}

    def rename_to(self, changes):
        """Changes names, `None` for one that goes: the change of one folder, or of two by one rename."""
        for path, target in changes:
            if target is None:
                self.names.pop(path, None)
            else:
                self.names[path] = target
        change = (self.sequence, changes)
        for folder in {os.path.dirname(path) for path, _ in changes}:
            self.pending_names.setdefault(folder, []).append(change)

    def play(self, entry):
        """Takes one entry of the record."""
        self.sequence += 1
        kind, handle = entry.kind, (entry.run, entry.handle)
        if kind == "O":
            self.open(entry, handle)
        elif kind == "W":
            self.handles[handle].write(self.sequence, entry.offset, entry.data)
        elif kind == "T":
            self.handles[handle].cut(self.sequence, entry.offset)
        elif kind == "S":
            self.syncs[entry.run, entry.offset] = self.sequence
        elif kind == "s":
            self.synced(self.handles[handle], self.syncs.pop((entry.run, entry.offset)), entry.error)
        elif kind == "R":
            old, new = entry.text().split("\0")
            self.rename_to([(old, None), (new, self.names[old])])
        elif kind in "UD":
            self.rename_to([(entry.text(), None)])
        elif kind == "M":
            self.rename_to([(entry.text(), FOLDER)])
        elif kind == "X":
            path, data = entry.data.split(b"\0", 1)
            self.found(path.decode(), entry.offset, data)
        elif kind == "Y":
            self.names[entry.text()].cut(self.sequence, entry.offset)

    def open(self, entry, handle):
        path = entry.text()
        if entry.flags & 4:
            self.handles[handle] = path
            return
        if path not in self.names:
            self.rename_to([(path, File())])
        self.handles[handle] = self.names[path]
        if entry.flags & 2 and not entry.flags & 1:
            self.handles[handle].cut(self.sequence, 0)

    def found(self, path, start, data):
        """What was found in a file after a kill, and is not in the record."""
        if path not in self.names:
            self.rename_to([(path, File())])
        self.names[path].write(self.sequence, start, data)

    def synced(self, target, before, error):
        if isinstance(target, File):
            target.synced(before, error)
            return
        rest = []
        for change in self.pending_names.get(target, []):
            if before <= change[0]:
                rest.append(change)
            elif not error:
                self.apply_names(self.stable_names, change[1])
        self.pending_names[target] = rest

    @staticmethod
    def apply_names(names, changes):
        for path, target in changes:
            if target is None:
                names.pop(path, None)
            else:
                names[path] = target

    def image(self, folder, dice, names=None):
        """Writes what the disk may hold if the power is cut now. Returns how it was chosen, in words.

        With `names`, no block that was not synced is on it, and that share of the names.
        """
        share = 0 if names is not None else dice.choice([0, 0, 0.1, 0.5, 0.5, 0.9, 1, None])
        name_share = names if names is not None else dice.choice([0, 0.5, 0.5, 1])
        torn = 0 if names is not None else dice.choice([0, 0, 0.3])
        chosen = dict(self.stable_names)
        pending = {change[0]: change for changes in self.pending_names.values() for change in changes}
        for _, change in sorted(pending.items()):
            if dice.random() < name_share:
                self.apply_names(chosen, change[1])
        os.makedirs(folder)
        for path, target in sorted(chosen.items()):
            place = os.path.join(folder, path)
            if not os.path.isdir(os.path.dirname(place)):
                continue
            if target is FOLDER:
                os.makedirs(place, exist_ok=True)
            elif not path.endswith(LOST):
                of_file = share if share is not None else dice.choice([0, 0.5, 1])
                target.image(place, dice, of_file, torn)
            elif dice.random() < 0.5:
                with open(place, "wb") as file:
                    file.write(dice.randbytes(32768))
        return f"blocks {share}, names {name_share}, torn {torn}"

    def reconcile(self, folder, log):
        """After a kill: adds to the record what its end missed of the files. Returns the paths that differed."""
        differed, real = [], {}
        for place, _, files in os.walk(folder):
            for file in files:
                path = os.path.relpath(os.path.join(place, file), folder)
                real[path] = os.path.join(place, file)
        for path, target in list(self.names.items()):
            if isinstance(target, File) and path not in real:
                differed.append(path)
                append_entry(log, "U", path.encode())
        for path, place in real.items():
            if path.endswith(LOST):
                continue
            with open(place, "rb") as file:
                content = file.read()
            known = self.names[path].cache if path in self.names else None
            if known == content:
                continue
            differed.append(path)
            known = known or b""
            first = len(os.path.commonprefix([bytes(known), content])) if known else 0
            append_entry(log, "X", path.encode() + b"\0" + content[first:], first)
            if len(content) < len(known):
                append_entry(log, "Y", path.encode(), len(content))
        return differed


def load(folder):
    """All entries of a kept record, and the ledger of its clients."""
    entries, run = [], 0
    while os.path.exists(os.path.join(folder, f"{run}.log")):
        entries += read_log(os.path.join(folder, f"{run}.log"), run)[0]
        run += 1
    with open(os.path.join(folder, "ledger.json"), encoding="utf-8") as file:
        return entries, json.load(file)
