"""What is wrong with this machine, its configuration and its ways out, and what to do about it.

Who reads facts (files of /proc and /sys, sockets) is apart from who judges them; the judges are plain functions of
those facts. Nothing here changes anything: a probe in the data folder is deleted again, and a broker is asked under a
client id that nobody else uses.
"""
