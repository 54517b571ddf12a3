/* Queries for the benchmark's zone and what their answers hold; clock, chance, arguments.
 *
 * The zone (bench/dns/zone.py): name aN has one address that follows from N; nothing else is asked for by number.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { HEADER = 12, QUERY_SIZE = 128, CLIENTS = 10000, MAX_COOKIE = 32 };
enum { TYPE_A = 1, TYPE_AAAA = 28, TYPE_OPT = 41, OPTION_COOKIE = 10, NOERROR = 0, NXDOMAIN = 3, BADCOOKIE = 23 };
enum { NEW_CLIENT = 11 + 4 + 8 }; /* octets of EDNS with a client's cookie only */

static const uint8_t ORIGIN[] = "\5bench\4test";

static const uint32_t NOBODY = UINT32_MAX;

struct cookie {
  uint8_t octets[8 + MAX_COOKIE];
  uint16_t length;
};

/* A query under way. The id's low octet is the place in its table, so an answer finds its query without a search. */
struct query {
  uint8_t wire[QUERY_SIZE];
  uint16_t length, question_end;
  uint8_t rcode;
  bool waiting;
  uint32_t number; /* of the name; NOBODY for one that does not exist */
  struct cookie *cookie;
  uint64_t sent;
};

static inline void fail(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  exit(1);
}

/* Nanoseconds of CLOCK_MONOTONIC, which all processes share. */
static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* xorshift64*: the same seed gives the same queries. */
static uint64_t state = 0x9e3779b97f4a7c15u;
static inline uint64_t chance(void) {
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545f4914f6cdd1du;
}
static inline uint32_t below(uint32_t limit) { return (uint32_t)(((chance() >> 32) * limit) >> 32); }

static inline uint32_t address_of(uint32_t number) { return 0xc6120000u + number / 250 * 256 + number % 250; }

static inline void put16(uint8_t *at, uint32_t value) { at[0] = (uint8_t)(value >> 8), at[1] = (uint8_t)value; }
static inline uint32_t get16(const uint8_t *at) { return (uint32_t)at[0] << 8 | at[1]; }
static inline uint32_t get32(const uint8_t *at) { return get16(at) << 16 | get16(at + 2); }

/* The header, a first label and the origin of the zone, then type A and class IN. */
static inline void ask(struct query *q, const char *label, int length) {
  memset(q->wire, 0, HEADER);
  q->wire[5] = 1;
  uint8_t *at = q->wire + HEADER;
  *at++ = (uint8_t)length;
  memcpy(at, label, (size_t)length);
  at += length;
  memcpy(at, ORIGIN, sizeof ORIGIN); /* with the root's octet */
  at += sizeof ORIGIN;
  put16(at, TYPE_A), put16(at + 2, 1);
  q->question_end = q->length = (uint16_t)(at + 4 - q->wire);
  q->cookie = NULL;
}

static inline void ask_number(struct query *q, uint32_t number) {
  char label[12];
  int length = 0, digits = number > 999 ? 4 : number > 99 ? 3 : number > 9 ? 2 : 1;
  label[length++] = 'a';
  uint32_t rest = number;
  for (int i = digits; i > 0; i--, rest /= 10) label[i] = (char)('0' + rest % 10);
  ask(q, label, length + digits);
  q->number = number, q->rcode = NOERROR;
}

/* A name of 10 to 13 random characters, which the zone does not have. */
static inline void ask_nobody(struct query *q) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
  char label[16];
  uint64_t bits = chance();
  int length = 10 + (int)(bits >> 62);
  for (int i = 0; i < length; i++, bits >>= 5) label[i] = letters[bits & 31];
  if (label[0] == 'a') label[0] = 'b';
  ask(q, label, length);
  q->number = NOBODY, q->rcode = NXDOMAIN;
}

/* A random case for each letter, as resolvers do against forged answers (0x20). */
static inline void mix_case(struct query *q) {
  uint64_t bits = chance();
  for (int i = HEADER + 1; i < q->question_end - 5; i++, bits >>= 1)
    if (q->wire[i] >= 'a' && q->wire[i] <= 'z') q->wire[i] ^= (bits & 1) << 5;
}

/* EDNS with DO and 1232 octets (RFC 6891), and the cookie of a client (RFC 7873) where there is one. */
static inline void add_edns(struct query *q, struct cookie *cookie) {
  static const uint8_t opt[] = {0, 0, TYPE_OPT, 0x04, 0xd0, 0, 0, 0x80, 0, 0, 0};
  uint8_t *at = q->wire + q->length;
  memcpy(at, opt, sizeof opt);
  at += sizeof opt;
  q->wire[11] = 1;
  q->cookie = cookie;
  if (cookie) {
    put16(at - 2, 4u + cookie->length);
    put16(at, OPTION_COOKIE), put16(at + 2, cookie->length);
    memcpy(at + 4, cookie->octets, cookie->length);
    at += 4 + cookie->length;
  }
  q->length = (uint16_t)(at - q->wire);
}

/* A client's cookie each, of 8 octets; the servers' cookies are learned from their answers. */
static inline void bake_cookies(struct cookie *cookies, int count) {
  for (int i = 0; i < count; i++) {
    uint64_t bits = chance();
    memcpy(cookies[i].octets, &bits, cookies[i].length = 8);
  }
}

static inline int skip_name(const uint8_t *m, int length, int at) {
  while (at < length && m[at] && m[at] < 0xc0) at += m[at] + 1;
  return at >= length ? length : at + (m[at] ? 2 : 1);
}

/* The server's cookie in an OPT record's options, kept for the client's next query; false for another client's. */
static inline bool learn(struct cookie *cookie, const uint8_t *options, int length) {
  for (int at = 0; at + 4 <= length; at += 4 + (int)get16(options + at + 2)) {
    int size = (int)get16(options + at + 2);
    if (get16(options + at) != OPTION_COOKIE || at + 4 + size > length) continue;
    if (size < 8 || size > 8 + MAX_COOKIE || memcmp(options + at + 4, cookie->octets, 8)) return false;
    memcpy(cookie->octets, options + at + 4, (size_t)size);
    cookie->length = (uint16_t)size;
  }
  return true;
}

/* What an answer holds: its A records, and whether it is one at all for this question. */
struct answer {
  const char *wrong;
  int rcode, count;
  uint32_t addresses[4];
};

static inline struct answer read_answer(const struct query *q, const uint8_t *m, int length) {
  struct answer a = {0};
  if (length < q->question_end || !(m[2] & 0x80) || get16(m + 4) != 1) return a.wrong = "no answer", a;
  if (memcmp(m + HEADER, q->wire + HEADER, (size_t)(q->question_end - HEADER))) return a.wrong = "other question", a;
  if (m[2] & 0x7a) return a.wrong = "opcode or truncated", a;
  a.rcode = m[3] & 15;
  int answers = (int)get16(m + 6), all = answers + (int)get16(m + 8) + (int)get16(m + 10), at = q->question_end;
  for (int i = 0; i < all; i++) {
    at = skip_name(m, length, at);
    if (at + 10 > length) return a.wrong = "cut off", a;
    int type = (int)get16(m + at), size = (int)get16(m + at + 8);
    const uint8_t *data = m + at + 10;
    if ((at += 10 + size) > length) return a.wrong = "cut off", a;
    if (i < answers && type == TYPE_A && size == 4 && a.count < 4) a.addresses[a.count++] = get32(data);
    if (i < answers || type != TYPE_OPT) continue;
    a.rcode |= data[-6] << 4;
    if (q->cookie && !learn(q->cookie, data, size)) a.wrong = "cookie";
  }
  if (at != length) a.wrong = "octets after the end";
  if (a.rcode == NXDOMAIN && !get16(m + 8)) a.wrong = "NXDOMAIN without SOA";
  return a;
}

/* The value of KEY=VALUE among the arguments. */
static char **arguments;
static inline const char *option(const char *key, const char *otherwise) {
  size_t length = strlen(key);
  for (char **a = arguments + 1; *a; a++)
    if (!strncmp(*a, key, length) && (*a)[length] == '=') return *a + length + 1;
  return otherwise;
}
static inline double number(const char *key, const char *otherwise) { return atof(option(key, otherwise)); }
