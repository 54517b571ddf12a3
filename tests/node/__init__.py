"""A real node: kubelet, containerd, a bridge network and Services, in namespaces of its own, with a control plane.

What can only be seen where pods run is tested here: Homing's own image as anybody with read-only files,
Services over UDP and TCP, pods that go while queries run.
"""
