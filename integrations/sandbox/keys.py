"""Zoho Desk's signing key: an RSA key that grows from a random text, so that it is the same at every start."""

import hashlib
import math
from functools import lru_cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

DESK = "SANDBOX_DESK_KEY"
DESK_WEBHOOK = "18926000000777001"
_EXPONENT = 65537
_SMALL = tuple(n for n in range(3, 2000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2)))


def derive(seed: str) -> str:
    """A 2048-bit private key in PEM, in about half a second. `seed` must be as hard to guess as the key is to be."""
    p, q = sorted((_prime(f"p:{seed}"), _prime(f"q:{seed}")), reverse=True)
    d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        p=p, q=q, d=d,
        dmp1=rsa.rsa_crt_dmp1(d, p), dmq1=rsa.rsa_crt_dmq1(d, q), iqmp=rsa.rsa_crt_iqmp(p, q),
        public_numbers=rsa.RSAPublicNumbers(_EXPONENT, p * q),
    )  # fmt: skip
    pem = numbers.private_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


@lru_cache(maxsize=8)
def private(pem: str) -> rsa.RSAPrivateKey:
    key = load_pem_private_key(pem.encode(), None)
    if not isinstance(key, rsa.RSAPrivateKey):
        raise TypeError("The key of Zoho Desk is an RSA key.")
    return key


def kid(pem: str) -> str:
    """The name under which the public half is published."""
    public = private(pem).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(public).hexdigest()[:16]


def _prime(seed: str) -> int:
    """The first 1024-bit prime from where `seed` points; its two highest bits are set, so that p·q has 2048."""
    start = int.from_bytes(hashlib.shake_256(seed.encode()).digest(128), "big")
    candidate = start | 1 | 3 << 1022
    while not (
        all(candidate % n for n in _SMALL) and math.gcd(candidate - 1, _EXPONENT) == 1 and _is_prime(candidate)
    ):
        candidate += 2
    return candidate


def _is_prime(number: int) -> bool:
    """Miller-Rabin by forty bases, beyond any doubt for a number that nobody chose."""
    odd, twos = number - 1, 0
    while odd % 2 == 0:
        odd, twos = odd // 2, twos + 1
    for base in (2, *_SMALL[:39]):
        x = pow(base, odd, number)
        if x in (1, number - 1):
            continue
        for _ in range(twos - 1):
            x = x * x % number
            if x == number - 1:
                break
        else:
            return False
    return True
