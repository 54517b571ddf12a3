/* Asks a DNS server on loopback as fast as it answers, with a bounded number of queries under way, and checks each answer.
 *
 *     load port=N load=hot|resolver|random|echo [seconds=3] [warm=0.5] [window=100] [sockets=4] [names=5000]
 *          [processes=PID,PID] [core=N] [others=MICROSECONDS]
 *
 * Prints one JSON object about the measured seconds: answers, losses and wrong ones, their latency, and the processor
 * time of the server's processes and core in the same moment. With `others`, one more client asks an existing name so
 * often, and its latency is told apart.
 */
#include "client.h"
#include <dirent.h>

enum { PLACES = 256, SLOWEST = 200000, NEW_CLIENT = 11 + 4 + 8 /* octets of EDNS with a client's cookie only */ };
static const uint64_t PATIENCE = 1000000000; /* ns until a query counts as lost */

enum kind { HOT, RESOLVER, RANDOM, ECHO };

struct tally {
  uint64_t answered, lost, wrong, late;
  uint32_t latency[SLOWEST]; /* queries by microseconds */
};

struct client {
  int fd, window, free;
  uint8_t unused[PLACES];
  struct query queries[PLACES];
  struct tally *tally;
};

static struct cookie cookies[CLIENTS];
static struct tally crowd, others;
static enum kind kind;
static uint32_t names;
static const char *first_wrong;

static struct client *new_client(int port, int window, struct tally *tally) {
  struct client *c = calloc(1, sizeof *c);
  c->fd = connect_udp(port), c->window = c->free = window, c->tally = tally;
  for (int i = 0; i < window; i++) c->unused[i] = (uint8_t)i;
  return c;
}

static void compose(struct query *q) {
  if (kind == RANDOM || (kind == RESOLVER && below(10) < 3)) ask_nobody(q);
  else ask_number(q, below(names));
  if (kind != RESOLVER) return;
  mix_case(q);
  add_edns(q, &cookies[below(CLIENTS)]);
}

static void send_some(struct client *c, struct batch *b, int limit, void (*make)(struct query *)) {
  struct query *queries[BATCH];
  int count = 0;
  uint64_t now = now_ns();
  while (c->free && count < limit) {
    uint8_t place = c->unused[--c->free];
    struct query *q = queries[count++] = &c->queries[place];
    make(q);
    put16(q->wire, (uint32_t)(chance() >> 56) << 8 | place);
    q->sent = now, q->waiting = true;
  }
  if (count) send_queries(c->fd, b, queries, count);
}

static void end_query(struct client *c, struct query *q) {
  q->waiting = false;
  c->unused[c->free++] = (uint8_t)(q - c->queries);
}

static const char *judge(const struct query *q, const uint8_t *m, int length) {
  if (kind == ECHO) return length == q->length && m[2] & 0x80 && !memcmp(m + 3, q->wire + 3, (size_t)length - 3) ? NULL : "echo";
  struct answer a = read_answer(q, m, length);
  if (a.wrong) return a.wrong;
  if (a.rcode == BADCOOKIE && q->cookie && q->length == q->question_end + NEW_CLIENT) return NULL; /* Knot: cookie first */
  if (a.rcode != q->rcode) return "rcode";
  if (q->rcode == NOERROR && (a.count != 1 || a.addresses[0] != address_of(q->number))) return "address";
  return NULL;
}

static int take_some(struct client *c, struct batch *b) {
  int count = receive(c->fd, b);
  uint64_t now = count ? now_ns() : 0;
  for (int i = 0; i < count; i++) {
    const uint8_t *m = b->octets[i];
    int length = (int)b->messages[i].msg_len;
    struct query *q = &c->queries[m[1]];
    if (length < HEADER || !q->waiting || memcmp(m, q->wire, 2)) {
      c->tally->late++;
      continue;
    }
    const char *wrong = judge(q, m, length);
    if (wrong) c->tally->wrong++, first_wrong = first_wrong ? first_wrong : wrong;
    else c->tally->answered++;
    uint64_t microseconds = (now - q->sent) / 1000;
    c->tally->latency[microseconds < SLOWEST ? microseconds : SLOWEST - 1]++;
    end_query(c, q);
  }
  return count;
}

static void give_up(struct client *c, uint64_t now) {
  for (int i = 0; i < c->window; i++)
    if (c->queries[i].waiting && c->queries[i].sent + PATIENCE < now) c->tally->lost++, end_query(c, &c->queries[i]);
}

/* Nanoseconds on a processor of all threads of the processes (the first number of schedstat). */
static uint64_t processor_ns(const char *processes) {
  uint64_t all = 0;
  for (char *end; *processes; processes = *end ? end + 1 : end) {
    char path[300];
    snprintf(path, sizeof path, "/proc/%ld/task", strtol(processes, &end, 10));
    DIR *tasks = opendir(path);
    if (!tasks) continue;
    for (struct dirent *task; (task = readdir(tasks));) {
      snprintf(path, sizeof path, "/proc/%ld/task/%s/schedstat", strtol(processes, NULL, 10), task->d_name);
      FILE *file = task->d_name[0] == '.' ? NULL : fopen(path, "r");
      unsigned long long ns = 0;
      if (!file) continue;
      if (fscanf(file, "%llu", &ns) == 1) all += ns;
      fclose(file);
    }
    closedir(tasks);
  }
  return all;
}

/* Seconds that a core was idle since the start (proc_stat(5)); tells whether the server had its fill. */
static double idle_seconds(int core) {
  char line[512], name[16];
  unsigned long long idle = 0;
  FILE *file = fopen("/proc/stat", "r");
  int length = snprintf(name, sizeof name, "cpu%d ", core);
  while (file && fgets(line, sizeof line, file))
    if (!strncmp(line, name, (size_t)length)) sscanf(line + length, "%*u %*u %*u %llu", &idle);
  if (file) fclose(file);
  return (double)idle / 100;
}

static double percentile(const struct tally *t, double share) {
  uint64_t all = 0, passed = 0;
  for (int i = 0; i < SLOWEST; i++) all += t->latency[i];
  for (int i = 0; i < SLOWEST; i++)
    if ((passed += t->latency[i]) && (double)passed >= share * (double)all) return i / 1e3;
  return 0;
}

static void tell(const char *name, const struct tally *t) {
  printf("\"%s\": {\"answered\": %lu, \"lost\": %lu, \"wrong\": %lu, \"late\": %lu, \"p50 ms\": %.3f, \"p99 ms\": %.3f}, ",
         name, t->answered, t->lost, t->wrong, t->late, percentile(t, 0.5), percentile(t, 0.99));
}

static void any_name(struct query *q) { ask_number(q, below(names)); }

int main(int count, char **given) {
  arguments = given;
  const char *which = option("load", "hot"), *processes = option("processes", "");
  kind = !strcmp(which, "resolver") ? RESOLVER : !strcmp(which, "random") ? RANDOM : !strcmp(which, "echo") ? ECHO : HOT;
  names = (uint32_t)number("names", "5000");
  int port = (int)number("port", "0"), sockets = (int)number("sockets", "4"), core = (int)number("core", "0");
  int window = (int)number("window", "100") / sockets;
  if (count < 3 || !port || window < 1 || window > PLACES) return fputs("usage: load port=N load=KIND ...\n", stderr), 2;
  uint64_t pause = (uint64_t)(number("others", "0") * 1e3), next = 0;
  for (int i = 0; i < CLIENTS; i++) {
    uint64_t bits = chance();
    memcpy(cookies[i].octets, &bits, cookies[i].length = 8);
  }
  struct client *clients[64], *other = new_client(port, 16, &others);
  for (int i = 0; i < sockets; i++) clients[i] = new_client(port, window, &crowd);

  static struct batch batch;
  uint64_t start = now_ns(), warm = start + (uint64_t)(number("warm", "0.5") * 1e9), begin = 0;
  uint64_t end = warm + (uint64_t)(number("seconds", "3") * 1e9), now = start, sweep = start, cpu = 0;
  double idle = 0;
  while ((now = now_ns()) < end) {
    if (!begin && now >= warm) {
      memset(&crowd, 0, sizeof crowd), memset(&others, 0, sizeof others);
      begin = now_ns(), cpu = processor_ns(processes), idle = idle_seconds(core);
    }
    for (int i = 0; i < sockets; i++) {
      take_some(clients[i], &batch);
      if (clients[i]->free > window / 4) send_some(clients[i], &batch, BATCH, compose); /* some at once cost less */
    }
    if (pause) {
      take_some(other, &batch);
      if (now >= next) send_some(other, &batch, 1, any_name), next = now + pause;
    }
    if (now - sweep < 10000000) continue;
    sweep = now;
    for (int i = 0; i < sockets; i++) give_up(clients[i], now);
    give_up(other, now);
  }
  double spent = (double)(processor_ns(processes) - cpu), wall = (double)(now_ns() - begin);
  double busy = 1 - (idle_seconds(core) - idle) * 1e9 / wall;
  printf("{");
  tell("crowd", &crowd);
  if (pause) tell("others", &others);
  printf("\"seconds\": %.4f, \"cpu seconds\": %.6f, \"core busy\": %.3f, \"first wrong\": \"%s\"}\n", wall / 1e9, spent / 1e9,
         busy, first_wrong ? first_wrong : "");
  return 0;
}
