"""Sums of integers under one-time ring-LWE keys, which are summed apart: the arithmetic.

Over the ring R_q = Z_q[X]/(X^N + 1), with a public polynomial a, a client draws a small key s and
small errors e and sends **c = a·s + e + 2^E·m** for its integers m. Errors are fresh in every
polynomial, the key is the same in all. Whoever learns Σs, and no other s, gets Σm exactly from Σc,
as long as Σe has room below 2^E. The key is N small integers, however many values there are.

- `parameters`: ring, primes and values a coefficient, chosen from the terms; security and room;
- `drawn`: keys, errors and public polynomials, from AES-256;
- `transform`: between coefficients and values at the roots of X^N + 1;
- `arithmetic`: what a device must be able to do, in `float64` or in 32-bit `integers`;
- `programs`: the compiled steps of a client, in either;
- `wire`: residues of 26 bits as bytes;
- `ciphertexts`: what clients, the aggregator and openers do, made of all these.

References:
  Regev 2005; Lyubashevsky, Peikert & Regev 2010: (ring-)LWE.
  Kim, Lee, Seo & Song 2023, Toward Practical Lattice-Based Proof of Knowledge from Hint-MLWE:
  what the sums Σs and Σe tell of one s and e, errors wider by √2 make up for.
  Bossuat et al. 2024, Security Guidelines for Implementing Homomorphic Encryption (ePrint
  2024/463): the largest q for 128 bits.
  Liu et al. 2022, SASH: Efficient Secure Aggregation Based on SHPRG for Federated Learning;
  Stevens et al. 2022, Efficient Differentially Private Secure Aggregation for Federated Learning
  via Hardness of Learning with Errors; Karthikeyan & Polychroniadou 2024, OPA: One-shot Private
  Aggregation; Bell-Clark et al. 2024, Willow (ePrint 2024/936): sums of vectors under keys, or
  masks, that are summed apart.

A patent application on one-shot aggregation with a key apart from the vector has been published
(US 2025/0358106).
"""
