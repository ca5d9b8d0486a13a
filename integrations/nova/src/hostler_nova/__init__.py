"""Lets OpenStack Nova's compute service do its disk work through Hostler.

`hostler_nova.mitaka` has the 27 functions of the old `nova.virt.libvirt.utils` (13.0),
`hostler_nova.libvirt_utils` those that Nova still has, as its callers use them today, and
`hostler_nova.place.put_in_place()` makes Nova use them. The command `hostler-nova-compute` does
that and starts Nova's compute service.
"""
