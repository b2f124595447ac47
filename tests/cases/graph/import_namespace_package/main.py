from plugins.sound import play
import plugins.image

play()
plugins.image.show()
