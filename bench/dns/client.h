/* Clients of a server on loopback: sockets with a bounded number of queries under way, whose answers are judged. */
#include "wire.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

enum { PLACES = 256, SLOWEST = 200000, BATCH = 64, REPLY_SIZE = 2048 };
static const uint64_t PATIENCE = 2000000000; /* ns until a query counts as lost */

struct batch {
  struct mmsghdr messages[BATCH];
  struct iovec vectors[BATCH];
  uint8_t octets[BATCH][REPLY_SIZE];
  uint8_t control[BATCH][CMSG_SPACE(sizeof(uint16_t))];
};

struct tally {
  uint64_t answered, lost, wrong, late;
  uint32_t latency[SLOWEST]; /* queries by microseconds */
};

/* What clients of one kind ask, and why an answer is wrong (NULL: it is right). */
struct manner {
  void (*ask)(struct query *);
  const char *(*judge)(const struct query *, const uint8_t *answer, int length, uint64_t now);
  struct tally tally;
};

struct client {
  int fd, window, free;
  uint8_t unused[PLACES];
  struct query queries[PLACES];
  struct manner *manner;
};

static const char *first_wrong = "";

static inline int connect_udp(int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = 4 << 20;
  if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) < 0) fail("connect");
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  return fd;
}

/* Send queries. Those of one length go to the kernel together (UDP_SEGMENT), which halves what sending costs here and
 * changes nothing for the server: it receives single datagrams. */
static inline void send_queries(int fd, struct batch *b, struct query **queries, int count) {
  int used = 0, heads = 0;
  for (bool done[BATCH] = {false}; used < count; heads++) {
    int first = used, length = 0;
    for (int i = 0; i < count; i++) {
      if (done[i] || (length && queries[i]->length != length)) continue;
      length = queries[i]->length, done[i] = true;
      b->vectors[used++] = (struct iovec){queries[i]->wire, (size_t)length};
    }
    struct msghdr *head = &b->messages[heads].msg_hdr;
    *head = (struct msghdr){.msg_iov = b->vectors + first, .msg_iovlen = (size_t)(used - first)};
    if (used - first == 1) continue;
    head->msg_control = b->control[heads], head->msg_controllen = sizeof b->control[heads];
    struct cmsghdr *c = CMSG_FIRSTHDR(head);
    *c = (struct cmsghdr){.cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof(uint16_t))};
    memcpy(CMSG_DATA(c), &(uint16_t){(uint16_t)length}, sizeof(uint16_t));
  }
  for (int sent = 0, some; sent < heads; sent += some)
    if ((some = sendmmsg(fd, b->messages + sent, (unsigned)(heads - sent), 0)) < 0) {
      if (errno == EAGAIN || errno == ENOBUFS || errno == EINTR) some = 0;
      else fail("send");
    }
}

/* Receive what is there, at most a batch. Lengths are in messages[i].msg_len. */
static inline int receive(int fd, struct batch *b) {
  for (int i = 0; i < BATCH; i++) {
    b->vectors[i] = (struct iovec){b->octets[i], REPLY_SIZE};
    b->messages[i].msg_hdr = (struct msghdr){.msg_iov = &b->vectors[i], .msg_iovlen = 1};
  }
  int count = recvmmsg(fd, b->messages, BATCH, MSG_DONTWAIT, NULL);
  if (count < 0 && errno != EAGAIN && errno != EINTR) fail("receive");
  return count < 0 ? 0 : count;
}

static inline struct client *new_client(int port, int window, struct manner *manner) {
  struct client *c = calloc(1, sizeof *c);
  c->fd = connect_udp(port), c->window = c->free = window, c->manner = manner;
  for (int i = 0; i < window; i++) c->unused[i] = (uint8_t)i;
  return c;
}

static inline int send_some(struct client *c, struct batch *b, int limit) {
  struct query *queries[BATCH];
  int count = 0;
  uint64_t now = now_ns();
  while (c->free && count < limit && count < BATCH) {
    uint8_t place = c->unused[--c->free];
    struct query *q = queries[count++] = &c->queries[place];
    c->manner->ask(q);
    put16(q->wire, (uint32_t)(chance() >> 56) << 8 | place);
    q->sent = now, q->waiting = true;
  }
  if (count) send_queries(c->fd, b, queries, count);
  return count;
}

static inline void end_query(struct client *c, struct query *q) {
  q->waiting = false;
  c->unused[c->free++] = (uint8_t)(q - c->queries);
}

static inline int take_some(struct client *c, struct batch *b) {
  struct tally *tally = &c->manner->tally;
  int count = receive(c->fd, b);
  uint64_t now = count ? now_ns() : 0;
  for (int i = 0; i < count; i++) {
    const uint8_t *m = b->octets[i];
    int length = (int)b->messages[i].msg_len;
    struct query *q = &c->queries[m[1]];
    if (length < HEADER || !q->waiting || memcmp(m, q->wire, 2)) {
      tally->late++;
      continue;
    }
    const char *wrong = c->manner->judge(q, m, length, now);
    if (wrong) tally->wrong++, first_wrong = *first_wrong ? first_wrong : wrong;
    else tally->answered++;
    uint64_t microseconds = (now - q->sent) / 1000;
    tally->latency[microseconds < SLOWEST ? microseconds : SLOWEST - 1]++;
    end_query(c, q);
  }
  return count;
}

static inline void give_up(struct client *c, uint64_t now) {
  for (int i = 0; i < c->window; i++)
    if (c->queries[i].waiting && c->queries[i].sent + PATIENCE < now)
      c->manner->tally.lost++, end_query(c, &c->queries[i]);
}

/* Milliseconds within which a share of the answers came. */
static inline double percentile(const struct tally *t, double share) {
  uint64_t all = 0, passed = 0;
  for (int i = 0; i < SLOWEST; i++) all += t->latency[i];
  for (int i = 0; i < SLOWEST; i++)
    if ((passed += t->latency[i]) && (double)passed >= share * (double)all) return i / 1e3;
  return 0;
}

/* A tally as a member of a JSON object. */
static inline void tell(FILE *to, const char *name, const struct tally *t) {
  fprintf(to, "\"%s\": {\"answered\": %lu, \"lost\": %lu, \"wrong\": %lu, \"late\": %lu, ", name, t->answered, t->lost,
          t->wrong, t->late);
  fprintf(to, "\"p50 ms\": %.3f, \"p99 ms\": %.3f}, ", percentile(t, 0.5), percentile(t, 0.99));
}
