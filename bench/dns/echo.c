/* The floor of the benchmark: what the kernel alone costs. Receives a batch, sets QR in each message, sends the batch.
 *
 *     echo PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BATCH = 64, SIZE = 2048 };

static uint8_t octets[BATCH][SIZE];
static struct mmsghdr messages[BATCH];
static struct iovec vectors[BATCH];
static struct sockaddr_in clients[BATCH];

int main(int count, char **arguments) {
  if (count != 2) return fputs("usage: echo PORT\n", stderr), 2;
  struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1]))};
  own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof own) < 0) return perror("echo"), 1;
  for (;;) {
    for (int i = 0; i < BATCH; i++) {
      vectors[i] = (struct iovec){octets[i], SIZE};
      messages[i].msg_hdr = (struct msghdr){
          .msg_name = &clients[i], .msg_namelen = sizeof clients[i], .msg_iov = &vectors[i], .msg_iovlen = 1};
    }
    int received = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
    if (received < 0) continue;
    for (int i = 0; i < received; i++) {
      vectors[i].iov_len = messages[i].msg_len;
      octets[i][2] |= 0x80;
    }
    for (int sent = 0, now; sent < received; sent += now)
      if ((now = sendmmsg(fd, messages + sent, received - sent, 0)) < 1) break;
  }
}
