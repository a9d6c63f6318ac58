"""The other end of a circuit, by others' code: X3DH and DoubleRatchet of PyPI, which leave headers open, and a second
ratchet in here, short and after Signal's document (revision 1, section 4), which seals them.

Reads a JSON object a line, and answers each with one. Records are as p2prc has them: header, text, tag.
"""
import asyncio
import hashlib
import hmac
import json
import os
import struct
import sys

import doubleratchet
import x3dh
import xeddsa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from doubleratchet.recommended import (
    HashFunction, diffie_hellman_ratchet_curve25519, kdf_hkdf, kdf_separate_hmacs)

ONLY_NONCE = bytes(12)
SUITES = {"aes256GCM": AESGCM, "chacha20Poly1305": ChaCha20Poly1305}
suite = AESGCM


# X3DH of PyPI.

class Agreement(x3dh.BaseState):
    @staticmethod
    def _encode_public_key(key_format, pub):
        return pub


def agreement():
    return Agreement.create(x3dh.IdentityKeyFormat.CURVE_25519, x3dh.HashFunction.SHA_256, b"p2prc circuit")


# DoubleRatchet of PyPI.

class AEAD(doubleratchet.AEAD):
    @staticmethod
    async def encrypt(plaintext, key, associated_data):
        return suite(key).encrypt(ONLY_NONCE, plaintext, associated_data)

    @staticmethod
    async def decrypt(ciphertext, key, associated_data):
        try:
            return suite(key).decrypt(ONLY_NONCE, ciphertext, associated_data)
        except InvalidTag:
            raise doubleratchet.AuthenticationFailedException()


class Root(kdf_hkdf.KDF):
    @staticmethod
    def _get_hash_function():
        return HashFunction.SHA_256

    @staticmethod
    def _get_info():
        return b"p2prc ratchet"


class Chain(kdf_separate_hmacs.KDF):
    @staticmethod
    def _get_hash_function():
        return HashFunction.SHA_256


def packed(header):
    return header.ratchet_pub + struct.pack(
        ">II", header.previous_sending_chain_length, header.sending_chain_length)


class Double(doubleratchet.DoubleRatchet):
    @staticmethod
    def _build_associated_data(associated_data, header):
        return associated_data + packed(header)


WAYS = dict(
    diffie_hellman_ratchet_class=diffie_hellman_ratchet_curve25519.DiffieHellmanRatchet, root_chain_kdf=Root,
    message_chain_kdf=Chain, message_chain_constant=b"\x02\x01", dos_protection_threshold=256,
    max_num_skipped_message_keys=256, aead=AEAD)


class Library:
    """An end with open headers."""

    def __init__(self, context):
        self.context, self.ratchet = context, None

    @staticmethod
    def message(record):
        former, number = struct.unpack(">II", record[32:40])
        return doubleratchet.EncryptedMessage(
            doubleratchet.Header(record[:32], former, number), record[40:])

    async def initiate(self, secret, prekey, text):
        self.ratchet, message = await Double.encrypt_initial_message(
            **WAYS, shared_secret=secret, recipient_ratchet_pub=prekey, message=text, associated_data=self.context)
        return packed(message.header) + message.ciphertext

    async def respond(self, secret, prekey, record):
        self.ratchet, text = await Double.decrypt_initial_message(
            **WAYS, shared_secret=secret, own_ratchet_priv=prekey, message=self.message(record),
            associated_data=self.context)
        return text

    async def seal(self, text):
        message = await self.ratchet.encrypt_message(text, self.context)
        return packed(message.header) + message.ciphertext

    async def open(self, record):
        return await self.ratchet.decrypt_message(self.message(record), self.context)


# The document, with sealed headers.

def expanded(key, info, count):
    made, block, number = b"", b"", 1
    while len(made) < count:
        block = hmac.digest(key, block + info + bytes([number]), hashlib.sha256)
        made, number = made + block, number + 1
    return made[:count]


def drawn():
    private = X25519PrivateKey.generate()
    return private, private.public_key().public_bytes_raw()


class Document:
    """An end with sealed headers."""

    def __init__(self, context):
        self.context = context
        self.sending = self.receiving = self.sending_header = self.receiving_header = None
        self.sent = self.received = self.former = 0
        self.skipped = {}

    def step(self, other):
        agreed = self.private.exchange(X25519PublicKey.from_public_bytes(other))
        made = expanded(hmac.digest(self.root, agreed, hashlib.sha256), b"p2prc ratchet", 96)
        self.root = made[:32]
        return made[32:64], made[64:]

    @staticmethod
    def advanced(chain):
        return hmac.digest(chain, b"\x02", hashlib.sha256), hmac.digest(chain, b"\x01", hashlib.sha256)

    async def initiate(self, secret, prekey, text):
        headers = expanded(secret, b"p2prc headers", 64)
        self.root, self.sending_header, self.next_receiving = secret, headers[:32], headers[32:]
        self.private, self.public = drawn()
        self.sending, self.next_sending = self.step(prekey)
        return await self.seal(text)

    async def respond(self, secret, prekey, record):
        headers = expanded(secret, b"p2prc headers", 64)
        self.root, self.next_receiving, self.next_sending = secret, headers[:32], headers[32:]
        self.private = X25519PrivateKey.from_private_bytes(prekey)
        return await self.open(record)

    async def seal(self, text):
        self.sending, key = self.advanced(self.sending)
        nonce = os.urandom(12)
        header = self.public + struct.pack(">II", self.former, self.sent)
        sealed = nonce + suite(self.sending_header).encrypt(nonce, header, b"")
        self.sent += 1
        return sealed + suite(key).encrypt(ONLY_NONCE, text, self.context + sealed)

    def header(self, record, key):
        try:
            opened = suite(key).decrypt(record[:12], record[12:68], b"")
        except InvalidTag:
            return None
        return (opened[:32], *struct.unpack(">II", opened[32:]))

    def skip(self, until):
        while self.receiving and self.received < until:
            self.receiving, key = self.advanced(self.receiving)
            self.skipped[self.receiving_header, self.received] = key
            self.received += 1

    async def open(self, record):
        for (chain, number), key in list(self.skipped.items()):
            header = self.header(record, chain)
            if header and header[2] == number:
                del self.skipped[chain, number]
                return suite(key).decrypt(ONLY_NONCE, record[68:], self.context + record[:68])
        header = self.receiving_header and self.header(record, self.receiving_header)
        if not header:
            header = self.header(record, self.next_receiving)
            assert header, "no key opens this header"
            self.skip(header[1])
            self.former, self.sent, self.received = self.sent, 0, 0
            self.sending_header, self.receiving_header = self.next_sending, self.next_receiving
            self.receiving, self.next_receiving = self.step(header[0])
            self.private, self.public = drawn()
            self.sending, self.next_sending = self.step(header[0])
        self.skip(header[2])
        self.receiving, key = self.advanced(self.receiving)
        self.received += 1
        return suite(key).decrypt(ONLY_NONCE, record[68:], self.context + record[:68])


ENDS = {"library": Library, "document": Document}
state = end = None


async def answer(question):
    global state, end, suite
    match question.pop("do"):
        case "begin":
            state, suite = agreement(), SUITES[question["suite"]]
            end = ENDS[question["end"]](bytes.fromhex(question["context"]))
            bundle = state.bundle
            return dict(identity=bundle.identity_key.hex(), prekey=bundle.signed_pre_key.hex())
        case "initiate":
            given = {name: bytes.fromhex(value) for name, value in question.items()}
            bundle = x3dh.Bundle(
                given["identity"], given["prekey"],
                xeddsa.ed25519_priv_sign(
                    xeddsa.priv_force_sign(given["secret"], False), given["prekey"], os.urandom(64)), frozenset())
            # The word for the prekey is XEdDSA's in the library; p2prc has its node key's, which is not judged here.
            secret, _, header = await state.get_shared_secret_active(bundle, require_pre_key=False)
            record = await end.initiate(secret, given["prekey"], given["text"])
            return dict(ephemeral=header.ephemeral_key.hex(), record=record.hex())
        case "respond":
            given = {name: bytes.fromhex(value) for name, value in question.items()}
            header = x3dh.Header(
                given["identity"], given["ephemeral"], signed_pre_key=state.bundle.signed_pre_key, pre_key=None)
            secret, _, pair = await state.get_shared_secret_passive(header, require_pre_key=False)
            return dict(text=(await end.respond(secret, pair.priv, given["record"])).hex())
        case "seal":
            return dict(record=(await end.seal(bytes.fromhex(question["text"]))).hex())
        case "open":
            return dict(text=(await end.open(bytes.fromhex(question["record"]))).hex())


async def main():
    for line in sys.stdin:
        print(json.dumps(await answer(json.loads(line))), flush=True)


asyncio.run(main())
