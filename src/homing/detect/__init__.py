"""Learns the address under which the internet sees this machine.

Many observers are asked at once (STUN, HTTP services, DNS whoami, the machine's own interfaces), each runs for an
operator, and operators vote. What belongs here: asking, and making a verdict of the answers. What never does: DNS
records, providers, settings files.

Pure, without I/O: ``consensus``, ``stun_message``, ``whoami_message``, ``netlink``, ``observers``. Importing this
package loads no HTTP library.
"""
