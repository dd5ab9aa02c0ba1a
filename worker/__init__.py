"""The RQ workers that send what the notification table promises; they own every RQ key."""
