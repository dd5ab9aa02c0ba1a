"""The RQ workers that send what the notification table promises; they own every RQ key."""

QUEUE = "bookcli"
"""The one queue: a worker with several loses the job that it had taken when it is killed."""
